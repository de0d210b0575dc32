-- include: job
-- Look at a schedule, and settle by whose settings it goes: those of the worker that was started last, as long as one
-- with the same settings looks at it now and then.
--   KEYS     1 schedule hash   2 its jobs
--   ARGV     1 definition: fingerprint of the caller's settings   2 timing: fingerprint of those that say when
--            3 now (ms)   4 after how many ms without a look another worker's settings count
--            5 '1' if the caller has just started, else ''
--   returns  {1 if it goes by the caller's settings, else 0; ID of its newest job or ''; field, value, …}
local schedule, definition, timing, now = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local facts = redis.call('HMGET', schedule, 'definition', 'looked_ms', 'timing', 'seen_ms')
local silent_ms, lapses_ms = math.abs(now - (tonumber(facts[2]) or 0)), tonumber(ARGV[4])
local counts = facts[1] == definition or ARGV[5] == '1' or silent_ms > lapses_ms
if counts then
  -- Not at every look, or every worker would write to the server's disk every few seconds.
  if facts[1] ~= definition or silent_ms > lapses_ms / 4 then
    redis.call('HSET', schedule, 'definition', definition, 'timing', timing, 'looked_ms', now)
  end
  -- Times that had passed when its timing was first seen are not made up for. Nor is a clock that was once far ahead
  -- waited for: no time starts twice anyway, because its job's ID is made of it.
  local seen_ms = tonumber(facts[4])
  if facts[3] ~= timing or not seen_ms or seen_ms > now + SCHEDULE_CLOCK_SLACK_MS then
    redis.call('HSET', schedule, 'seen_ms', now)
  end
end
return { counts and 1 or 0, redis.call('LRANGE', KEYS[2], 0, 0)[1] or '', unpack(redis.call('HGETALL', schedule)) }
