-- include: clock
-- Report that a worker has ended. Once no worker is left, the steady clock is asleep: a rest of the portal must not last
-- a night longer because the workers were stopped in the evening.
--   KEYS     1 workers   2… configurations of a portal; for each fingerprint
--   ARGV     1 worker, or '' for a process that is none   2… the fingerprints
--   returns  1
redis.call('ZREM', KEYS[1], ARGV[1])
for index = 2, #KEYS do
  redis.call('ZREM', KEYS[index], ARGV[index] .. '/' .. ARGV[1])
end
if redis.call('ZCOUNT', KEYS[1], '(' .. steady_ms(), '+inf') == 0 and redis.call('EXISTS', CLOCK) == 1 then
  redis.call('HSET', CLOCK, 'asleep', 1)
end
return 1
