-- Shared by the scripts: whose turn is when. GCRA by reservation on this server's clock: a caller is told once when its
-- turn is, and its turn is taken in the same step, so that callers on any number of machines keep the exact rate.
-- Portal hash: tat_us (theoretical arrival time of the next call), push_back_until_ms (nobody calls before).

-- More turns than this are never outstanding (lanes, log-ins); a later tat_us is left over from a slower rate or from
-- a clock that jumped, and would hold the portal up for nothing.
local MOST_RESERVED = 80

-- Gives the microseconds to wait for the reserved turn; or nil and the microseconds until a turn that is too far away
-- to be reserved.
local function reserve(portal, now_us, interval_us, burst, max_wait_us)
  local facts = redis.call('HMGET', portal, 'tat_us', 'push_back_until_ms')
  local push_back_us = (tonumber(facts[2]) or 0) * 1000
  local start_us = math.max(now_us, push_back_us)
  local tat_us = math.min(tonumber(facts[1]) or 0, start_us + (burst + MOST_RESERVED) * interval_us)
  local turn_us = math.max(start_us, tat_us - (burst - 1) * interval_us)
  local wait_us = turn_us - now_us
  if wait_us > max_wait_us then
    return nil, wait_us
  end
  redis.call('HSET', portal, 'tat_us', math.max(tat_us, turn_us) + interval_us)
  return wait_us
end
