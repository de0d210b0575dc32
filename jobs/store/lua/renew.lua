-- include: job
-- Keep a lease while a call is in flight. A lapsed lease is not revived: its batch may be in other hands.
--   KEYS[1]  portal hash
--   ARGV     1 lane token   2 ttl_ms
--   returns  1: the lease is held   0: it has lapsed
local leases, now = KEYS[1] .. LEASES, now_ms()
local lapses = redis.call('ZSCORE', leases, ARGV[1])
if not lapses or tonumber(lapses) <= now then
  return 0
end
redis.call('ZADD', leases, now + tonumber(ARGV[2]), ARGV[1])
return 1
