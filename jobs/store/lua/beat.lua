-- include: clock
-- Report that a worker is alive; forget workers that have been silent for long.
--   KEYS     1 workers   2 portals of workers   3… configurations of a portal; for each fingerprint
--   ARGV     1 worker   2 lasts_ms: how long it counts as alive   3 long_ms: how long one that is gone is remembered
--            4 how many portals it has in its configuration   5… these portals, then the fingerprints
--   returns  1
local now = steady_ms()
local worker, until_ms, long_ms, portals = ARGV[1], now + tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
for index = 1, 2 do
  redis.call('ZREMRANGEBYSCORE', KEYS[index], '-inf', now - long_ms)
end
for index = 5, 4 + portals do
  redis.call('ZADD', KEYS[2], until_ms, ARGV[index])
end
for index = 3, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[index], '-inf', now)
  redis.call('ZADD', KEYS[index], until_ms, ARGV[portals + 2 + index] .. '/' .. worker)
  redis.call('PEXPIRE', KEYS[index], long_ms)  -- for a portal that is no longer in any configuration
end
redis.call('ZADD', KEYS[1], until_ms, worker)
return 1
