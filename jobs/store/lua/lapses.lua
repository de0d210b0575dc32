-- include: job lease
-- Look at the leases of several portals: whose lanes have fallen silent, and when can the next lane do so? Forget leases
-- that have lapsed; what their lanes held is left for a rescue.
--   KEYS     1… portal hashes
--   returns  {soonest_ms, {index of the portal in KEYS, free}, …}
--            soonest_ms   in how many milliseconds the next lease lapses unless it is renewed; -1 if there is none
--            then the portals at which something has lapsed; free: 1 if a place became free just now
local now, soonest, lapsed = now_ms(), -1, {}
for index, portal in ipairs(KEYS) do
  local leases = portal .. LEASES
  local free = redis.call('ZREMRANGEBYSCORE', leases, '-inf', now) > 0
  local silent = false
  for _, claim_key in ipairs(redis.call('HKEYS', portal .. CLAIMS)) do
    silent = silent or not redis.call('ZSCORE', leases, holder_of(claim_key))
  end
  local last = tonumber(redis.call('ZRANGE', leases, -1, -1, 'WITHSCORES')[2])
  -- No lease is longer than this: the server's clock was set back, and the rescue sees to it.
  if free or silent or last and last > now + LONGEST_LEASE_MS then
    lapsed[#lapsed + 1] = { index, free and 1 or 0 }
  end
  if last then
    local left = tonumber(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2]) - now
    soonest = soonest < 0 and left or math.min(soonest, left)
  end
end
return { soonest, unpack(lapsed) }
