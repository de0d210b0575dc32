-- include: job actions faults pace
-- Carry out what a person asked of a job, if its state allows it at this moment.
--   KEYS     1 job hash   2 portal hash
--   ARGV     1 job ID   2 event: pause, resume, cancel or approve   3 state_reason of a pause
--            4 who asks   5 token of this request: a second try of the very same one changes nothing more
--   returns  {'ok', state, rest_ms}   rest_ms: until when the portal had asked for a rest that this has ended, or 0
--            {'illegal', state}   {'unknown'}

-- A job that waits because of a push-back, or because another one has met a fault, is not paused; somebody may say all
-- the same that it goes on.
local STANDS_BY = { queued = true, running = true, cancelling = true }
local job, portal, job_id, event = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local now = now_ms()
if redis.call('EXISTS', job) == 0 then
  return { 'unknown' }
elseif was_done(job, ARGV[5]) then
  return { 'ok', redis.call('HGET', job, 'state'), 0 }
end
local to, state
if event == 'pause' then
  to, state = pause(portal, job, job_id, ARGV[3], now)
else
  to, state = move(job, event)
end
local rested, rest_ms
if event == 'resume' and (to or STANDS_BY[state]) then
  rested, rest_ms = lift_rest(portal, now)
  if rested or redis.call('EXISTS', portal .. FAULTS) == 1 then
    to = to or state
  end
end
if not to then
  return { 'illegal', state }
end
if event == 'resume' or event == 'cancel' then
  -- Somebody has looked at it: the portal is tried again.
  forget_faults(portal)
end
if event == 'resume' then
  -- What failed before somebody had a look is not held against the job again.
  local counts = redis.call('HMGET', job, 'total', 'n:pending', 'n:failed')
  redis.call('HSET', job, 'judged_done', tonumber(counts[1]) - tonumber(counts[2]), 'judged_failed', counts[3] or 0)
end
if event == 'resume' or event == 'approve' then
  redis.call('HDEL', job, 'state_reason')
  activate(portal, job_id)
elseif event == 'cancel' then
  redis.call('HDEL', job, 'state_reason')
  -- Everything from the cursor on was never sent. That is kept as one number, not per contact ID.
  local facts = redis.call('HMGET', job, 'cursor', 'total')
  local never_sent = tonumber(facts[2]) - tonumber(facts[1])
  if never_sent > 0 then
    redis.call('HSET', job, 'skipped_from', facts[1], 'skipped_ms', now, 'cursor', facts[2])
    redis.call('HINCRBY', job, 'n:skipped', never_sent)
    redis.call('HINCRBY', job, 'n:pending', -never_sent)
    redis.call('HINCRBY', portal .. STATS, 'contacts:skipped', never_sent)
  end
  -- What was sent before and is not decided yet is still looked up.
  activate(portal, job_id)
end
note_action(job, ARGV[4], event, rest_ms or '', now, ARGV[5])
if rested then
  note_action(portal, ARGV[4], event, rest_ms or '', now)
end
return { 'ok', after_change(portal, job, job_id, now), rest_ms or 0 }
