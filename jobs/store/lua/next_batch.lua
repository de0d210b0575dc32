-- include: job item pace faults
-- Give a lane its next batch: renew its lease, choose a job fairly, keep the portal's rate, and mark the batch as sent.
-- The mark is the claim: it stands in Redis before the call leaves, so that after a crash it tells which contact IDs
-- may have been deleted by a call whose answer nobody read.
--   KEYS[1]  portal hash
--   ARGV     1 lane token   2 ttl_ms   3 batch_size   4 look_up_size: most contact IDs of one look-up
--            5 linger_ms: how long a small look-up may wait to be joined by others
--            6 ceiling, calls/s   7 burst   8 max_wait_us   9 turn_us: the reserved turn that the lane has waited for, or 0
--            10 batch_size_max   11 retry_interval_us: room that each retry takes at the ceiling
--            12 place of the claim, 0 or 1: a free one, as far as the lane knows   13 cuts, as the turn was given with
--            14 max_concurrency   15 fingerprint of the lane's configuration   16 longest_rest_ms
--   returns  {'batch', seq, job_id, state, now_ms, call, batch_size, digest, item, item, …}   the lane holds this batch
--            {'turn', wait_us, turn_us, cuts}   a turn is reserved: wait, then ask again with it
--            {'later', wait_us}   the next turn is too far away to wait for; the lease is given back (see let_go)
--            {'idle', wait_ms}    nothing to do, until wait_ms from now (-1: not known); the lease is given back
--            {'surplus'}          fewer calls may be in flight than lanes hold leases; this one is given back
--            {'lost'}             the lease has lapsed
local portal, token = KEYS[1], ARGV[1]
local batch_size, look_up_size, linger = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local active, waiting = portal .. ACTIVE, portal .. WAITING
local leases, claims = portal .. LEASES, portal .. CLAIMS
local clock_us = now_us()
local now = math.floor(clock_us / 1000)

local lapses = redis.call('ZSCORE', leases, token)
if not lapses or tonumber(lapses) <= now then
  return { 'lost' }
end
redis.call('ZADD', leases, now + tonumber(ARGV[2]), token)

-- Give the lease back, unless the lane is still recording its last batch: without a lease that would be rescued.
local function let_go()
  if redis.call('HEXISTS', claims, token .. '/' .. 1 - tonumber(ARGV[12])) == 0 then
    redis.call('ZREM', leases, token)
  end
end

local pacing = redis.call('HMGET', portal, 'batch_size', 'push_back_until_ms', 'retry_tat_us', 'rate', 'rate_cuts',
  'set_rate', 'set_concurrency', 'careful')
local learned = math.min(tonumber(pacing[1]) or batch_size, tonumber(ARGV[10]))
local pushed_back = (tonumber(pacing[2]) or 0) > now and bound_rest(portal, now, tonumber(ARGV[16])) > now
local fault_until = held_until(portal, ARGV[15])

-- A turn is good for a moment only, and only at the rate at which it was given. Lanes whose worker or whose Redis stood
-- still would otherwise use theirs all at once when it goes on, and those that waited while the rate was cut would push
-- into a portal that has just said that it is too much.
local turn_us, cuts = tonumber(ARGV[9]), tonumber(pacing[5]) or 0
local interval_us = 1000000 / (tonumber(pacing[4]) or tonumber(ARGV[6]))
local has_turn = turn_us > 0 and clock_us <= turn_us + math.max(25000, interval_us) and tonumber(ARGV[13]) == cuts

-- The retry budget: retries of all jobs together have a rate of their own, a small part of the portal's, so that they
-- never become the load. A few may go at once.
local retry_interval_us, retry_burst = tonumber(ARGV[11]), 10
if pacing[6] then
  retry_interval_us = retry_interval_us * tonumber(ARGV[6]) / tonumber(pacing[6])
end
local retry_tat_us = tonumber(pacing[3]) or 0
if retry_tat_us > clock_us + retry_burst * retry_interval_us then
  -- Further ahead than the burst: it is left over from a lower rate, or from a clock that jumped.
  retry_tat_us = clock_us + retry_burst * retry_interval_us
  redis.call('HSET', portal, 'retry_tat_us', retry_tat_us)
end
local retry_turn_us = math.max(clock_us, retry_tat_us - (retry_burst - 1) * retry_interval_us)

local function deliver(claim, state)
  local seq, job_id, call = claim[1], claim[2], claim[3]
  local items = redis.call('HMGET', JOB .. job_id .. ITEMS, unpack(claim, 4))
  return { 'batch', seq, job_id, state, now, call, learned, redis.call('HGET', JOB .. job_id, 'digest'), unpack(items) }
end

-- A lane asks for a place whose last batch it has settled. If a claim is there, then the reply that gave it was lost and
-- nothing was sent.
local claim_key = token .. '/' .. ARGV[12]
local held = redis.call('HGET', claims, claim_key)
if held then
  local claim = cmsgpack.unpack(held)
  return deliver(claim, redis.call('HGET', JOB .. claim[2], 'state'))
end

-- Somebody wants fewer calls in flight than there were when this lane took its lease.
if redis.call('ZCOUNT', leases, '(' .. now, '+inf') > (tonumber(pacing[7]) or tonumber(ARGV[14])) then
  let_go()
  return { 'surplus' }
end

-- A fault stops every job for whoever has the configuration that met it: until somebody has put it right, or time has
-- passed. Workers with another one go on; a wake-up that was meant for them is handed on soon, but never in a hot loop.
if fault_until > now then
  let_go()
  if others_can(portal, ARGV[15], now) then
    return { 'idle', redis.call('ZCARD', active) > 0 and 500 or -1 }
  end
  return { 'idle', fault_until - now }
end

-- What the job offers now: {call, item IDs} or, for contact IDs ahead of the cursor, {call, nil, cursor, total}.
-- Where it offers nothing: nil and whether it is to be served at all.
local function offer(job_id)
  local job = JOB .. job_id
  local facts = redis.call('HMGET', job, 'state', 'cursor', 'total')
  local state, cursor, total = facts[1], tonumber(facts[2]), tonumber(facts[3])
  if state ~= 'queued' and state ~= 'running' and state ~= 'cancelling' then
    return nil, false
  end
  local look_ups = redis.call('ZRANGE', job .. DUE[LOOK_UP], '-inf', now, 'BYSCORE', 'LIMIT', 0, 200, 'WITHSCORES')
  local put = redis.call('ZRANGE', job .. DUE[PUT], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
  local is_retry = put and is_retry(redis.call('HGET', job .. ITEMS, put))
  if is_retry and retry_turn_us > clock_us then
    redis.call('ZADD', job .. DUE[PUT], math.ceil(retry_turn_us / 1000), put)
    put = nil
  end
  local has_put = put or cursor < total
  if #look_ups > 0 then
    -- Every call counts against the rate, so look-ups of many batches are joined into one where that costs little.
    local chosen, size = {}, 0
    for index = 1, #look_ups, 2 do
      local more = size_of(look_ups[index])
      if size > 0 and size + more > look_up_size then
        size = look_up_size
        break
      end
      chosen[#chosen + 1] = look_ups[index]
      size = size + more
    end
    if not has_put or size >= look_up_size or tonumber(look_ups[2]) + linger <= now then
      return { LOOK_UP, chosen }
    end
  end
  if put then
    return { PUT, { put }, is_retry = is_retry }
  end
  if cursor < total then
    return { PUT, nil, cursor, total }
  end
  return nil, true
end

-- When work of the job is due that is not due yet; nil if all that is left is in flight.
local function due(job_id)
  local job, soonest = JOB .. job_id, nil
  for _, key in pairs(DUE) do
    local first = redis.call('ZRANGE', job .. key, 0, 0, 'WITHSCORES')
    if first[2] and (not soonest or tonumber(first[2]) < soonest) then
      soonest = tonumber(first[2])
    end
  end
  return soonest
end

for _, job_id in ipairs(redis.call('ZRANGE', waiting, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)) do
  activate(portal, job_id)
end
local chosen, job_id, turn
repeat
  local first = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
  job_id, turn = first[1], first[2]
  if job_id then
    local serve
    chosen, serve = offer(job_id)
    if not chosen then
      deactivate(portal, job_id)
      local soonest = serve and due(job_id)
      if soonest then
        redis.call('ZADD', waiting, soonest, job_id)
      end
    end
  end
until chosen or not job_id

if not chosen then
  let_go()
  local soonest = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
  return { 'idle', soonest and math.max(tonumber(soonest) - now, 0) or -1 }
end

-- After a long rest one call goes alone, whoever makes it, and the others wait for what comes of it. If its worker dies,
-- its claim is rescued, and another one goes in its place.
if pacing[8] and redis.call('HLEN', claims) > 0 then
  let_go()
  return { 'later', 1000000 }
end

-- A push-back that came while the lane waited takes its turn away again.
if not has_turn or pushed_back then
  local wait_us, away_us = reserve(portal, clock_us, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]))
  if not wait_us then
    let_go()
    return { 'later', away_us }
  end
  if wait_us > 0 then
    return { 'turn', wait_us, clock_us + wait_us, cuts }
  end
end

local job = JOB .. job_id
local call, item_ids, cursor, total = chosen[1], chosen[2], chosen[3], chosen[4]
if chosen.is_retry then
  redis.call('HSET', portal, 'retry_tat_us', math.max(retry_tat_us, clock_us) + retry_interval_us)
end
if item_ids then
  for _, item_id in ipairs(item_ids) do
    redis.call('ZREM', job .. DUE[call], item_id)
  end
else
  -- A batch never crosses the border of a segment.
  local segment, start = math.floor(cursor / SEGMENT_SIZE), cursor % SEGMENT_SIZE
  local count = math.min(learned, SEGMENT_SIZE - start, total - cursor)
  local item_id = redis.call('HINCRBY', job, 'next_item', 1) .. ':' .. count
  redis.call('HSET', job .. ITEMS, item_id, fresh_item(segment, start, count))
  redis.call('HINCRBY', job, 'cursor', count)
  item_ids = { item_id }
end

local state, before = move(job, 'start')
if before == 'queued' then
  redis.call('HSETNX', job, 'started_ms', now)
  redis.call('HDEL', job, 'state_reason')
end
redis.call('HINCRBY', job, 'inflight', 1)
redis.call('HSET', portal, 'turn', turn)
redis.call('ZINCRBY', active, redis.call('HGET', job, 'stride') or 1, job_id)
local claim = { redis.call('HINCRBY', portal, 'seq', 1), job_id, call, unpack(item_ids) }
redis.call('HSET', claims, claim_key, cmsgpack.pack(claim))
return deliver(claim, state)
