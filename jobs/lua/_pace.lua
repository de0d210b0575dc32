-- Shared by the scripts: whose turn is when, and how fast the portal can be driven.
--
-- Turns. GCRA by reservation on this server's clock: a caller is told once when its turn is, and its turn is taken in
-- the same step, so that callers on any number of machines keep the exact rate. Portal hash: tat_us (theoretical
-- arrival time of the next call), push_back_until_ms (nobody calls before).
--
-- The learned rate. The portal says when it is too much, never how much it takes. After a push-back the rate is cut and
-- then climbs along a cubic curve, counted in calls: fast at first, flat around the rate at which the portal pushed
-- back last, then faster and faster, because it may take much more by now. So most calls go out just below what the
-- portal takes, and about one in a hundred finds out whether that is still so. Portal hash: rate_best (calls/s, the
-- flat part), rate_depth (how deep the cut was, 0 to 1), rate_calls (calls since the cut), rate_seq (the last claim
-- before the cut), rate (in force now, for people). No rate_best: nothing learned, the ceiling holds.

-- More turns than this are never outstanding (lanes, log-ins); a later tat_us is left over from a slower rate or from
-- a clock that jumped, and would hold the portal up for nothing.
local MOST_RESERVED = 80

-- Calls from a cut until the flat part of the curve.
local CLIMB_CALLS = 100

-- The rate never falls below this, in calls/s: at some point a portal is not slow but away.
local SLOWEST = 0.1

local function learned_rate(best, depth, calls, ceiling)
  if not best then
    return ceiling
  end
  local way = calls / CLIMB_CALLS - 1
  local rate = best * (1 + depth * way * way * way)
  return math.min(ceiling, math.max(rate, SLOWEST))
end

-- Gives the microseconds to wait for the reserved turn; or nil and the microseconds until a turn that is too far away
-- to be reserved.
local function reserve(portal, now_us, ceiling, burst, max_wait_us)
  local facts = redis.call('HMGET', portal, 'tat_us', 'push_back_until_ms', 'rate_best', 'rate_depth', 'rate_calls')
  local best = tonumber(facts[3])
  local rate = learned_rate(best, tonumber(facts[4]), tonumber(facts[5]), ceiling)
  local interval_us = 1000000 / rate
  local start_us = math.max(now_us, (tonumber(facts[2]) or 0) * 1000)
  local tat_us = math.min(tonumber(facts[1]) or 0, start_us + (burst + MOST_RESERVED) * interval_us)
  local turn_us = math.max(start_us, tat_us - (burst - 1) * interval_us)
  local wait_us = turn_us - now_us
  if wait_us > max_wait_us then
    return nil, wait_us
  end
  redis.call('HSET', portal, 'tat_us', math.max(tat_us, turn_us) + interval_us, 'rate', rate)
  if best and rate < ceiling then
    redis.call('HINCRBY', portal, 'rate_calls', 1)
  elseif best then
    redis.call('HDEL', portal, 'rate_best', 'rate_depth', 'rate_calls', 'rate_seq')
  end
  return wait_us
end

-- Cut the rate because the portal pushed the call of claim `seq` back. Calls that were under way together are pushed
-- back together; that is one event.
local function slow_down(portal, seq, ceiling)
  local facts = redis.call('HMGET', portal, 'rate_best', 'rate_depth', 'rate_calls', 'rate_seq', 'seq')
  if seq <= (tonumber(facts[4]) or 0) then
    return
  end
  local best, calls = tonumber(facts[1]), tonumber(facts[3])
  local rate = learned_rate(best, tonumber(facts[2]), calls, ceiling)
  -- Pushed back again on the way up, or for the first time: far too fast, so halve it. Otherwise this was the probe at
  -- the end of the curve, which is a little above what the portal takes.
  local far_off = not best or calls < CLIMB_CALLS / 4
  redis.call('HSET', portal, 'rate_best', far_off and rate or rate * 0.98, 'rate_depth', far_off and 0.5 or 0.3,
    'rate_calls', 0, 'rate_seq', facts[5] or 0)
end
