-- include: job clock lease
-- Look at the leases of several portals: whose lanes have fallen silent, and when can the next lane do so? Forget leases
-- that have lapsed; what their lanes held is left for a rescue. Each look is a tick of the steady clock, and wakes it.
--   KEYS     1… portal hashes
--   returns  {soonest_ms, {index of the portal in KEYS, free}, …}
--            soonest_ms   in how many milliseconds the next lease lapses unless it is renewed; -1 if there is none
--            then the portals at which something has lapsed; free: 1 if a place became free just now
local steady, wall = steady_us()
tick(steady, wall)
redis.call('HDEL', CLOCK, 'asleep')
local now, soonest, lapsed = math.floor(steady / 1000), -1, {}
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
return { soonest, unpack(lapsed) }
