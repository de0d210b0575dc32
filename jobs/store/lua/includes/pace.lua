-- Shared by the scripts: when each lane has its turn, and how fast the portal can be driven.
--
-- Turns. GCRA by reservation on the steady clock: a caller is told once when its turn is, and the turn is reserved
-- in the same step, so that callers on any number of machines keep exactly to the rate. Portal hash: tat_us
-- (theoretical arrival time of the next call), push_back_until_ms (no worker calls before).
--
-- The learned rate. The portal says when it is too much, never how much it can take. After a push-back the rate is cut
-- and then climbs along a cubic curve: fast at first, flat around the rate at which the portal pushed back last, then
-- faster and faster, because the portal may take much more by now. So most calls go out just below what the portal
-- takes, and about one in a hundred finds out whether that is still so. A hundred calls to a slow portal could take an
-- hour; then the climb takes a minute instead. Portal hash: rate_best (calls/s, the flat part), rate_depth (how deep
-- the cut was, 0 to 1), rate_climbed (how much of the way to the flat part is done, 1 is all of it), rate_seq (the last
-- claim before the cut), rate_cuts (how many there have been), rate (in force at the last turn), configured_rate (the
-- ceiling in the configuration of the worker that took that turn). Without rate_best, nothing is learned, and the
-- ceiling applies.

-- The limits in force. A user can set limits other than the configured ones, for all workers. Portal hash: set_rate
-- (calls/s), set_concurrency (calls in flight); a field is missing while the configured limit applies.

-- A long rest. The portal may ask for a day; it gets at most what is configured, and then one call goes alone before
-- the others follow. A person can end the rest early, with the same care. Portal hash: asked_until_ms (what the portal
-- asked for, if it said so), careful (the last claim before the rest; kept until a later call has been answered well:
-- while it is there, no call goes out while another one is in flight).

-- More turns than this are never outstanding (lanes, log-ins); a later tat_us is left over from a slower rate, and would hold
-- the portal up for nothing.
local MOST_RESERVED = 80

-- From a cut to the flat part of the curve: this many calls, or this many seconds of work if that is sooner.
local CLIMB_CALLS, CLIMB_S = 100, 60

-- The rate never falls below this, in calls/s: a portal that takes even less is not slow but away.
local SLOWEST = 0.1

local function learned_rate(best, depth, climbed, ceiling)
  if not best then
    return ceiling
  end
  local way = climbed - 1
  local rate = best * (1 + depth * way * way * way)
  return math.min(ceiling, math.max(rate, SLOWEST))
end

-- Reserve a turn. Returns the microseconds to wait for it; or nil and the microseconds until a turn that is too far
-- away to be reserved.
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
    -- Time counts only in intervals between calls, so that the learned rate survives a night without calls.
    redis.call('HINCRBYFLOAT', portal, 'rate_climbed', math.max(1 / CLIMB_CALLS, 1 / rate / CLIMB_S))
  elseif best then
    redis.call('HDEL', portal, 'rate_best', 'rate_depth', 'rate_climbed', 'rate_seq')
  end
  return wait_us
end

-- A turn is valid for a moment only, and only at the rate at which it was given. Otherwise, lanes whose worker or whose
-- Redis was frozen would all use theirs together when it continues, and lanes that waited while the rate was cut would
-- call a portal that has just said that it is too much. Returns whether the turn, 0 for none, is still valid.
local function is_fresh(turn_us, clock_us, rate)
  return turn_us > 0 and clock_us <= turn_us + math.max(25000, 1000000 / rate)
end

-- Cut the rate because the portal pushed back the call of claim `seq`. Calls that were in flight together are pushed
-- back together; that counts as one event.
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
    -- For the first time, or right after a cut: still far too fast.
    best, depth = rate, 0.5
  elseif climbed < 0.6 then
    -- At a rate that it took a moment ago: the calls arrived closer together than they were sent, or it was chance.
    -- Believing each of these fully would drive the rate down without end.
    best, depth = math.min((best + rate) / 2 * 0.98, rate * 1.1), 0.2
  else
    -- The probe at the end of the curve, at a rate a little above what the portal takes.
    best, depth = rate * 0.98, 0.2
  end
  redis.call('HINCRBY', portal, 'rate_cuts', 1)
  redis.call('HINCRBY', portal .. STATS, 'rate_cuts', 1)
  redis.call('HSET', portal, 'rate_best', best, 'rate_depth', depth, 'rate_climbed', 0, 'rate_seq', facts[5] or 0)
end

local function take_care(portal)
  redis.call('HSET', portal, 'careful', redis.call('HGET', portal, 'seq') or 0)
end

-- Shorten a rest that was recorded under a longer limit, or under none. Returns until when the portal rests.
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

-- End the portal's rest early, because a person asked for it. A wait of our own before a log-in is not ended: it keeps
-- the account from being locked. Returns whether there was a rest, and until when the portal had asked for it, on this
-- server's clock; nil if the rest was our own.
local function lift_rest(portal)
  local now, wall = steady_ms()
  local facts = redis.call('HMGET', portal, 'push_back_until_ms', 'push_back_reason', 'asked_until_ms')
  local until_ms = tonumber(facts[1]) or 0
  if until_ms <= now or facts[2] == LOGIN_GUARD then
    return false
  end
  redis.call('HDEL', portal, 'push_back_until_ms', 'push_back_reason', 'asked_until_ms')
  take_care(portal)
  local asked_ms = tonumber(facts[3])
  return true, asked_ms and asked_ms - now + wall
end
