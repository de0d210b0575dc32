-- Shared by the scripts: events for webhooks. An event is put into the outbox of every webhook that wants it, in the
-- step that makes it true. Without webhooks, nothing is kept. Needs clock.
--
--   WEBHOOKS                    hash: name -> JSON {until_ms, events, portals}: until when (steady) it counts as configured, and
--                               what it wants; without a list, everything
--   {webhook}                   hash: counters, and tries:STREAM, how often the first event of a stream was sent
--   {webhook}:events:{stream}   list: the events that wait, oldest first, JSON {id, type, at_ms, …}
--   {webhook}:due               zset: stream -> when its first event is sent, or sent again (ms, steady)
--   {webhook}:sending           zset: stream -> until when a worker has it (ms, steady)
--   {webhook}:unsent            zset: ID of an event that waits -> when it happened (ms)
--
-- A stream is a job, or a portal for its faults: its events are sent one after another.

local function is_wanted(list, word)
  if not list then
    return true
  end
  for _, one in ipairs(list) do
    if one == word then
      return true
    end
  end
  return false
end

-- Put an event into the outbox of one webhook. A full one takes no more: its receiver has been away for long.
local function put_out(webhook, stream, event, now, due_ms)
  if redis.call('ZCARD', webhook .. UNSENT) >= MOST_UNSENT then
    redis.call('HINCRBY', webhook, 'given_up', 1)
    return
  end
  redis.call('RPUSH', webhook .. EVENTS .. stream, cjson.encode(event))
  redis.call('ZADD', webhook .. UNSENT, now, event.id)
  redis.call('ZADD', webhook .. DUE_EVENTS, 'NX', due_ms, stream)
end

-- Tell all webhooks that want it. `facts_of` returns what the event says, and is only called if there is one.
local function tell(stream, type, portal, facts_of, now)
  local webhooks, event = redis.call('HGETALL', WEBHOOKS), nil
  local steady = webhooks[1] and steady_ms()
  for index = 1, #webhooks, 2 do
    local told = cjson.decode(webhooks[index + 1])
    if told.until_ms > steady and is_wanted(told.events, type) and is_wanted(told.portals, portal) then
      if not event then
        event = facts_of()
        event.id = string.format('evt_%.0f_%.0f', now, redis.call('INCRBY', EVENTS_TOLD, 1))
        event.type, event.at_ms = type, now
      end
      put_out(WEBHOOK .. webhooks[index], stream, event, now, steady)
    end
  end
end

-- Tell what has become of a job, with what is true of it now.
local function tell_of_job(job, type, now)
  local job_id = string.sub(job, #JOB + 1)
  tell(job_id, type, redis.call('HGET', job, 'portal'), function()
    local names = { 'portal', 'label', 'state', 'state_reason', 'created_ms', 'started_ms', 'finished_ms', 'total',
      'duplicates' }
    for outcome in string.gmatch(OUTCOMES, '%S+') do
      names[#names + 1] = 'n:' .. outcome
    end
    local values, facts = redis.call('HMGET', job, unpack(names)), {}
    for index, name in ipairs(names) do
      facts[name] = values[index] or nil
    end
    return { job = job_id, facts = facts }
  end, now)
end

-- Tell that a fault holds a portal.
local function tell_of_fault(portal, reason, now)
  local name = string.sub(portal, #PORTAL + 1)
  tell('portal ' .. name, 'portal.fault', name, function()
    return { portal = name, reason = reason }
  end, now)
end
