-- Shared by the scripts: whose turn is when, and how fast the portal can be driven.
--
-- Turns. GCRA by reservation on this server's clock: a caller is told once when its turn is, and its turn is taken in
-- the same step, so that callers on any number of machines keep the exact rate. Portal hash: tat_us (theoretical
-- arrival time of the next call), push_back_until_ms (nobody calls before).
--
-- The learned rate. The portal says when it is too much, never how much it takes. After a push-back the rate is cut and
-- then climbs along a cubic curve: fast at first, flat around the rate at which the portal pushed back last, then faster
-- and faster, because it may take much more by now. So most calls go out just below what the portal takes, and about one
-- in a hundred finds out whether that is still so. A slow portal is not left at a hundred calls, which may be an hour:
-- then the climb takes a minute. Portal hash: rate_best (calls/s, the flat part), rate_depth (how deep the cut was, 0 to
-- 1), rate_climbed (how much of the way to the flat part lies behind, 1 is there), rate_seq (the last claim before the
-- cut), rate_cuts (how many there have been), rate (in force at the last turn), configured_rate (the ceiling that whoever
-- took that turn has configured). No rate_best: nothing learned, the ceiling holds.

-- The limits in force. Somebody may have set others than the configured ones, for all workers at once. Portal hash:
-- set_rate (calls/s), set_concurrency (calls in flight); neither is there as long as the configuration holds.

-- A long rest. The portal may ask for a day; it gets at most what is configured, and then one call goes alone before the
-- others follow. A person may end the rest at once, with the same care. Portal hash: asked_until_ms (what the portal
-- asked for, if it said so), careful (the last claim before the rest; there until a later one has been answered well: as
-- long as it is, no call goes while another one is under way).

-- More turns than this are never outstanding (lanes, log-ins); a later tat_us is left over from a slower rate or from
-- a clock that jumped, and would hold the portal up for nothing.
local MOST_RESERVED = 80

-- From a cut to the flat part of the curve: so many calls, or so many seconds of driving if that is sooner.
local CLIMB_CALLS, CLIMB_S = 100, 60

-- The rate never falls below this, in calls/s: at some point a portal is not slow but away.
local SLOWEST = 0.1

local function learned_rate(best, depth, climbed, ceiling)
  if not best then
    return ceiling
  end
  local way = climbed - 1
  local rate = best * (1 + depth * way * way * way)
  return math.min(ceiling, math.max(rate, SLOWEST))
end

-- Gives the microseconds to wait for the reserved turn; or nil and the microseconds until a turn that is too far away
-- to be reserved.
local function reserve(portal, now_us, configured, burst, max_wait_us)
  local facts = redis.call('HMGET', portal, 'tat_us', 'push_back_until_ms', 'rate_best', 'rate_depth', 'rate_climbed',
    'set_rate')
  local ceiling = tonumber(facts[6]) or configured
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
  redis.call('HSET', portal, 'tat_us', math.max(tat_us, turn_us) + interval_us, 'rate', rate,
    'configured_rate', configured)
  if best and rate < ceiling then
    -- Time counts only as the interval of a call, so that a portal that is left alone for a night stays known.
    redis.call('HINCRBYFLOAT', portal, 'rate_climbed', math.max(1 / CLIMB_CALLS, 1 / rate / CLIMB_S))
  elseif best then
    redis.call('HDEL', portal, 'rate_best', 'rate_depth', 'rate_climbed', 'rate_seq')
  end
  return wait_us
end

-- A turn is good for a moment only, and only at the rate at which it was given. Lanes whose worker or whose Redis stood
-- still would otherwise use theirs all at once when it goes on, and those that waited while the rate was cut would push
-- into a portal that has just said that it is too much. Gives whether the turn, 0 for none, is not over yet.
local function is_fresh(turn_us, clock_us, rate)
  return turn_us > 0 and clock_us <= turn_us + math.max(25000, 1000000 / rate)
end

-- Cut the rate because the portal pushed the call of claim `seq` back. Calls that were under way together are pushed
-- back together; that is one event.
local function slow_down(portal, seq, ceiling)
  local facts = redis.call('HMGET', portal, 'rate_best', 'rate_depth', 'rate_climbed', 'rate_seq', 'seq', 'set_rate')
  ceiling = tonumber(facts[6]) or ceiling
  if seq <= (tonumber(facts[4]) or 0) then
    return
  end
  local best, climbed = tonumber(facts[1]), tonumber(facts[3])
  local rate = learned_rate(best, tonumber(facts[2]), climbed, ceiling)
  local depth
  if not best or climbed < 0.1 then
    -- For the first time, or at once after a cut: far too fast still.
    best, depth = rate, 0.5
  elseif climbed < 0.6 then
    -- At a rate that it took a moment ago: calls that came closer together than they were sent, or a chance. To believe
    -- all of it would drive the rate down without end.
    best, depth = math.min((best + rate) / 2 * 0.98, rate * 1.1), 0.2
  else
    -- The probe at the end of the curve, which is a little above what the portal takes.
    best, depth = rate * 0.98, 0.2
  end
  redis.call('HINCRBY', portal, 'rate_cuts', 1)
  redis.call('HINCRBY', portal .. STATS, 'rate_cuts', 1)
  redis.call('HSET', portal, 'rate_best', best, 'rate_depth', depth, 'rate_climbed', 0, 'rate_seq', facts[5] or 0)
end

local function take_care(portal)
  redis.call('HSET', portal, 'careful', redis.call('HGET', portal, 'seq') or 0)
end

-- Bound a rest that was kept before there was a bound, or with another one. Gives until when the portal rests.
local function bound_rest(portal, now, longest_ms)
  local facts = redis.call('HMGET', portal, 'push_back_until_ms', 'push_back_reason')
  local until_ms = tonumber(facts[1]) or 0
  if until_ms <= now + longest_ms then
    return until_ms
  end
  if not is_one_of(OWN_WAITS, facts[2]) then
    redis.call('HSETNX', portal, 'asked_until_ms', until_ms)
  end
  redis.call('HSET', portal, 'push_back_until_ms', now + longest_ms)
  take_care(portal)
  return now + longest_ms
end

-- End the portal's rest at once, because a person says so. A wait of our own before a log-in is not ended: it keeps the
-- account from being locked out. Gives whether there was a rest, and until when it would have lasted by the portal's
-- word; nil where it was ours.
local function lift_rest(portal, now)
  local facts = redis.call('HMGET', portal, 'push_back_until_ms', 'push_back_reason', 'asked_until_ms')
  local until_ms = tonumber(facts[1]) or 0
  if until_ms <= now or facts[2] == LOGIN_GUARD then
    return false
  end
  redis.call('HDEL', portal, 'push_back_until_ms', 'push_back_reason', 'asked_until_ms')
  take_care(portal)
  return true, tonumber(facts[3])
end
