-- include: clock job pace
-- Reserve one turn for a call that belongs to no batch, such as a log-in.
--   KEYS[1]  portal hash
--   ARGV     1 ceiling, calls/s   2 burst   3 max_wait_us
--   returns  {1, wait_us}: the turn is reserved   {0, wait_us, interval_us}: too far away, nothing is reserved;
--            interval_us is the shortest time between two calls
local steady, wall, is_kept = steady_us()
if is_kept then
  tick(steady, wall)  -- the caller may be a command, and all workers dead; if the clock is asleep, it stays so
end
local wait_us, away_us = reserve(KEYS[1], steady, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
if wait_us then
  return { 1, wait_us }
end
return { 0, away_us, 1000000 / tonumber(redis.call('HGET', KEYS[1], 'set_rate') or ARGV[1]) }
