-- include: clock events job item claim faults gates
-- Judge again whether a PUT may leave that was handed out a while ago: it waited for a log-in or a connection, and
-- meanwhile people and clocks went on. Its contact IDs are counted for its day already. Writes nothing.
--   KEYS[1]  portal hash
--   ARGV     1 key of the claim: lane token/place   2 seq of the claim
--            3 fingerprint of the lane's configuration
--            4 msgpack map (jobs/lanes/gates.py), what the portal's guards say
--   returns  1: it may leave   0: it may not, or the claim is no longer the lane's
local portal = KEYS[1]
local claim = read_claim(portal, ARGV[1])
if not claim or claim[1] ~= tonumber(ARGV[2]) then
  return 0
end
local now, wall = steady_ms()
local told = cmsgpack.unpack(ARGV[4])
if wall < told.from_ms or wall >= told.until_ms or claim.day ~= told.day then
  return 0
end
local facts = redis.call('HMGET', portal, 'open_until_ms', 'push_back_until_ms')
local rests_until = math.max(tonumber(facts[2]) or 0, held_until(portal, ARGV[3]))
if rests_until > now or closed_gate(portal, wall, told, facts[1]) then
  return 0
end
return redis.call('HGET', JOB .. claim[2], 'state') == 'running' and 1 or 0
