-- include: clock job faults pace push_back
-- Record that the portal pushed back a call that belongs to no batch: every caller of the portal is slowed down.
--   KEYS[1]  portal hash
--   ARGV     1 ceiling, calls/s   2 cut the learned rate: 1 or 0   3 rest_ms: how long nobody calls, 0 for no rest
--            4 why   5 asked_ms: for how long the portal asked, 0 if it did not say
--   returns  until when the portal rests (ms on the steady clock); 0 or a time in the past if it does not
local portal, now = KEYS[1], steady_ms()
if ARGV[2] == '1' then
  -- The calls of a command follow one another, so each push-back is an event of its own.
  slow_down(portal, math.huge, tonumber(ARGV[1]))
end
local away_until = tonumber(redis.call('HGET', portal, 'push_back_until_ms') or 0)
local rest_ms, asked_ms = tonumber(ARGV[3]), tonumber(ARGV[5])
if rest_ms > 0 then
  stay_away(portal, { push_back_ms = rest_ms, push_back_reason = ARGV[4], asked_ms = asked_ms > 0 and asked_ms or nil },
    away_until, now)
end
redis.call('HINCRBY', portal .. STATS, 'push_backs', 1)
return tonumber(redis.call('HGET', portal, 'push_back_until_ms') or 0)
