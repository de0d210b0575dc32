-- include: clock
-- Count one log-in attempt for the whole fleet, unless too many have failed recently. As at the portal, an attempt
-- counts from its beginning, and is given back (ZREM) when it succeeds. A sliding window on the steady clock: a fixed
-- one would let twice the limit through around its edge.
--   KEYS[1]  sorted set of the attempts that have not succeeded: name -> time (ms)
--   ARGV     1 limit   2 window_ms   3 name of this attempt, unique: if the same call is repeated, it counts once
--   returns  0: counted, go ahead   n: not counted, ask again after n ms
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = steady_ms()
if redis.call('ZSCORE', KEYS[1], ARGV[3]) then
  return 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
-- Of the last `limit` attempts, the oldest is the first to leave the window.
local oldest = redis.call('ZRANGE', KEYS[1], -limit, -limit, 'WITHSCORES')[2]
if oldest then
  return math.max(tonumber(oldest) + window - now, 1)
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], window * 60)  -- longer than needed, as the server's clock may jump
return 0
