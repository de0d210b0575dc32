-- include: job clock lease
-- Look at the leases of several portals: whose lanes have fallen silent, and when can the next lane do so? Forget leases
-- that have lapsed; what their lanes held is left for a rescue. Each look is a tick of the steady clock, and wakes it.
-- One look in a while is also the turn to run the lifeline, for the workers of a group together.
--   KEYS     1… portal hashes
--   ARGV     1 name of the group   2 how often its lifeline runs, milliseconds; 0: the caller runs none
--   returns  {soonest_ms, is_turn, {index of the portal in KEYS, free}, …}
--            soonest_ms   in how many milliseconds the next lease lapses unless it is renewed; -1 if there is none
--            is_turn      1 if the caller has to run the lifeline
--            then the portals at which something has lapsed; free: 1 if a place became free just now
local steady = awake_us()
local now, soonest, is_turn, lapsed = math.floor(steady / 1000), -1, false, {}
local every_us = tonumber(ARGV[2]) * 1000
if every_us > 0 then
  local last = tonumber(redis.call('HGET', LIFELINES, ARGV[1]))
  -- Not at the very first look: those who have just started the first worker have work on its way.
  is_turn = last and steady - last >= every_us
  if is_turn or not last then
    redis.call('HSET', LIFELINES, ARGV[1], steady)
  end
end
for index, portal in ipairs(KEYS) do
  local leases = portal .. LEASES
  local free = redis.call('ZREMRANGEBYSCORE', leases, '-inf', now) > 0
  local silent = false
  for _, claim_key in ipairs(redis.call('HKEYS', portal .. CLAIMS)) do
    silent = silent or not redis.call('ZSCORE', leases, holder_of(claim_key))
  end
  if free or silent then
    lapsed[#lapsed + 1] = { index, free and 1 or 0 }
  end
  local next_lapse = tonumber(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2])
  if next_lapse then
    soonest = soonest < 0 and next_lapse - now or math.min(soonest, next_lapse - now)
  end
end
return { soonest, is_turn and 1 or 0, unpack(lapsed) }
