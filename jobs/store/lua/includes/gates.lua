-- Shared by the scripts: the gates, which hold back PUTs and nothing else; look-ups and log-ins go on. They are checked
-- in the step that hands out a batch, on this server's clock, so a PUT that is handed out has passed all of them. One
-- that could not leave at once is checked again (may_send.lua).
--
--   STOPPED        hash: portal's name, or EVERYONE for all -> who stopped it and when, JSON
--   portal hash    open_until_ms: until then PUTs may leave although the windows are closed
--                  day, day_sent: a day, and how many contact IDs its PUTs have held so far
--                  day_before, day_before_sent: likewise, of the day before: the clock may go back over midnight
--                  hold: "reason until_ms", what holds the portal's PUTs now (0: not known until when)
--   job hash       address: fingerprint of the portal's address for which the job was made
--                  not_before_ms: end of its cooling off
--   claim          day, counted: on which day its PUT was counted, and with how many contact IDs
--
-- The windows, the day and the cap are told by the worker, with the time for which that is true, so a worker that is
-- gone leaves nothing open. They are called `told` here: {is_open, opens_ms, most_per_day, day, day_ends_ms}.

-- A held job is looked at again after this time at the latest: its gate may open without any announcement.
local LOOK_AGAIN_MS = 30000

-- Returns which gate holds the portal's PUTs back by itself, however many there were today, and until when (0: not
-- known); nothing if none does.
local function closed_gate(portal, now, told, open_until_ms)
  local stops = redis.call('HMGET', STOPPED, EVERYONE, string.sub(portal, #PORTAL + 1))
  if stops[1] or stops[2] then
    return HELD_BY_STOP, 0
  elseif not told.is_open and (tonumber(open_until_ms) or 0) <= now then
    return HELD_BY_WINDOW, told.opens_ms
  end
end

-- Returns {held_until, sent, left, before, before_sent}: until when the portal's PUTs are held (0: not known; nil: they
-- are not), how many contact IDs have been sent today and may still be sent, and, if this day is not the last one that was
-- counted, which one that was, with its count.
local function portal_gate(portal, now, told)
  local facts = redis.call('HMGET', portal, 'open_until_ms', 'day', 'day_sent', 'hold', 'day_before', 'day_before_sent')
  local sent, before, before_sent = 0, nil, nil
  if facts[2] == told.day then
    sent = tonumber(facts[3])
  elseif facts[2] then
    sent, before, before_sent = facts[5] == told.day and tonumber(facts[6]) or 0, facts[2], facts[3]
  end
  local left = told.most_per_day > 0 and math.max(told.most_per_day - sent, 0) or math.huge
  local reason, held_until = closed_gate(portal, now, told, facts[1])
  if not reason and left == 0 then
    reason, held_until = HELD_BY_CAP, told.day_ends_ms
  end
  local hold = reason and string.format('%s %.0f', reason, held_until)
  if hold and hold ~= facts[4] then
    redis.call('HSET', portal, 'hold', hold)
  elseif facts[4] and not hold then
    redis.call('HDEL', portal, 'hold')
  end
  return { held_until = held_until, sent = sent, left = left, before = before, before_sent = before_sent }
end

-- Returns until when the PUTs of a job are held (0: not known), by its portal or by its own cooling off; nil if they are
-- not. A cancelled job sends nothing: its PUTs are handed out to be given up.
local function put_held_until(state, not_before_ms, lane)
  if state == 'cancelling' then
    return nil
  elseif lane.puts_held_until then
    return lane.puts_held_until
  end
  local not_before = tonumber(not_before_ms)
  return not_before and not_before > lane.wall and not_before or nil
end

-- Returns when a job whose PUTs are held is looked at again, on the steady clock.
local function look_again_ms(held_until, lane)
  local ahead_ms = held_until - lane.wall
  return lane.now + (ahead_ms > 0 and math.min(ahead_ms, LOOK_AGAIN_MS) or LOOK_AGAIN_MS)
end

-- Returns whether the job was made for another address than the lane's. Nothing of it may be sent there, not even a
-- look-up, which would be about other contacts.
local function is_elsewhere(address, lane)
  return address and lane.address ~= '' and address ~= lane.address
end

-- A gate was opened by a person: every job of the portal is looked at again with the next batch.
local function look_again_now(portal)
  redis.call('HDEL', portal, 'hold')
  for _, job_id in ipairs(redis.call('ZRANGE', portal .. WAITING, 0, -1)) do
    activate(portal, job_id)
  end
end

-- Take contact IDs back from the count of their day: they were not sent. Jobs that wait for the cap can send others.
local function count_back(portal, day, contacts)
  if contacts == 0 then
    return
  end
  local facts = redis.call('HMGET', portal, 'day', 'hold', 'day_before')
  if facts[1] == day then
    redis.call('HINCRBY', portal, 'day_sent', -contacts)
    if facts[2] and string.find(facts[2], HELD_BY_CAP, 1, true) then
      look_again_now(portal)
    end
  elseif facts[3] == day then
    redis.call('HINCRBY', portal, 'day_before_sent', -contacts)
  end
end

-- Count the contact IDs of a PUT, in the portal and in its claim. Returns how many of them may be sent.
local function count_put(portal, claim, contacts, gate, told)
  local most = gate.held_until and 0 or math.min(contacts, gate.left)
  claim.day, claim.counted = told.day, most
  if gate.before then
    redis.call('HSET', portal, 'day_before', gate.before, 'day_before_sent', gate.before_sent)
  end
  redis.call('HSET', portal, 'day', told.day, 'day_sent', gate.sent + most)
  return most
end
