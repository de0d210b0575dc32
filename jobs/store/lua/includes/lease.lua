-- Shared by the scripts: leases, on the steady clock. A lease is the right to have one call in flight at the portal; it
-- lapses if its lane falls silent. A lapsed lease is not revived: another lane may have its batch.
--
--   {portal}:leases   zset: lane token -> lapses at (ms)
--   {portal}:claims   hash: "token/place" -> its batch. A lane has two places for a claim, so that it can send the next
--                     batch while the last one is still being recorded.

local function holder_of(claim_key)
  return string.match(claim_key, '^(.*)/%d$')
end

-- Renew the lease for ttl_ms from now on, if it is still held. Returns whether it was.
local function keep_lease(portal, token, now, ttl_ms)
  local leases = portal .. LEASES
  local lapses = redis.call('ZSCORE', leases, token)
  if not lapses or tonumber(lapses) <= now then
    return false
  end
  redis.call('ZADD', leases, now + ttl_ms, token)
  return true
end

-- Give the lease back, unless the lane is still recording its last batch: without a lease, that batch would be rescued.
local function let_go(portal, token, free_place)
  if redis.call('HEXISTS', portal .. CLAIMS, token .. '/' .. 1 - tonumber(free_place)) == 0 then
    redis.call('ZREM', portal .. LEASES, token)
  end
end

-- Returns whether more lanes hold a lease than allowed: the limit may have been lowered since they took it.
local function are_too_many(portal, now, max_concurrency)
  return redis.call('ZCOUNT', portal .. LEASES, '(' .. now, '+inf') > max_concurrency
end
