-- Count one log-in attempt of the whole fleet, unless there were too many lately. A sliding window, on the server's
-- clock: a fixed one would let twice the limit through around its edge.
--   KEYS[1]  list of the times of the last attempts (ms), newest first
--   ARGV     1 limit   2 window_ms
--   returns  0: counted, go ahead   n: not counted, ask again after n ms
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = redis.call('LINDEX', KEYS[1], limit - 1)
if oldest and tonumber(oldest) + window > now then
  return tonumber(oldest) + window - now
end
redis.call('LPUSH', KEYS[1], now)
redis.call('LTRIM', KEYS[1], 0, limit - 1)
redis.call('PEXPIRE', KEYS[1], window)
return 0
