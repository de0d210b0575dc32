-- include: clock lease
-- Take a lease: the right to have one call in flight at the portal.
--   KEYS[1]  portal hash
--   ARGV     1 lane token   2 ttl_ms   3 max_concurrency, as configured: it applies unless another one was set
--   returns  1: the lease is held   0: all leases are taken
local leases, now = KEYS[1] .. LEASES, math.floor(wakeful_us() / 1000)
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
local taken = redis.call('ZCARD', leases)
-- A batch whose lane has fallen silent may still be in flight: its place becomes free when it is rescued.
local silent = {}
for _, claim_key in ipairs(redis.call('HKEYS', KEYS[1] .. CLAIMS)) do
  local holder = holder_of(claim_key)
  if not silent[holder] and not redis.call('ZSCORE', leases, holder) then
    silent[holder] = true
    taken = taken + 1
  end
end
if taken >= tonumber(redis.call('HGET', KEYS[1], 'set_concurrency') or ARGV[3]) then
  return 0
end
redis.call('ZADD', leases, now + tonumber(ARGV[2]), ARGV[1])
return 1
