-- Read jobs, and what is shown with them, at one moment. Writes nothing.
--   KEYS     the jobs' hashes
--   ARGV     the fields of a portal's hash that are needed
--   returns  {time, clock, workers, portals of workers, replicated_until, jobs, portals}
--              time, clock   this server's clock, and {steady_us, wall_us, asleep} (clock.lua)
--              jobs          the fields and values of each job; none for one that is not there
--              portals       {name, values, leases, jobs that want a turn, faults, configurations, stops} for each
--                            portal of these jobs; jobs/store/portal_state.py reads them
local jobs, portals, seen = {}, {}, {}
for index, job in ipairs(KEYS) do
  jobs[index] = redis.call('HGETALL', job)
  local name = redis.call('HGET', job, 'portal')
  if name and not seen[name] then
    seen[name] = true
    local portal = PORTAL .. name
    portals[#portals + 1] = {
      name,
      redis.call('HMGET', portal, unpack(ARGV)),
      redis.call('ZRANGE', portal .. LEASES, 0, -1, 'WITHSCORES'),
      redis.call('ZCARD', portal .. ACTIVE),
      redis.call('HGETALL', portal .. FAULTS),
      redis.call('ZRANGE', portal .. CONFIGURATIONS, 0, -1, 'WITHSCORES'),
      redis.call('HMGET', STOPPED, name, EVERYONE),
    }
  end
end
return {
  redis.call('TIME'),
  redis.call('HMGET', CLOCK, 'steady_us', 'wall_us', 'asleep'),
  redis.call('ZRANGE', WORKERS, 0, -1, 'WITHSCORES'),
  redis.call('ZRANGE', KNOWN_PORTALS, 0, -1, 'WITHSCORES'),
  redis.call('GET', REPLICATED_UNTIL),
  jobs,
  portals,
}
