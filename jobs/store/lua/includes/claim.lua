-- Shared by the scripts: claims. A claim is a batch that a lane holds: {seq, job ID, call, item ID, item ID, …}, kept
-- as msgpack in {portal}:claims under "token/place", with the number of the request that made it, and of a PUT also what
-- was counted of it (gates.lua). It is the permission to record the batch, and recording uses it up.

local function read_claim(portal, claim_key)
  local held = redis.call('HGET', portal .. CLAIMS, claim_key)
  return held and cmsgpack.unpack(held)
end
