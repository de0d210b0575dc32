-- Shared by the scripts that carry out what a person asks of a job: one that is in the ledger (control), or one that is
-- accepted in the same step (create_job). Needs job, clock, canary, actions, faults, pace and plan.

-- A job that waits because of a push-back, or because another one has met a fault, is not paused; a resume lets it go
-- on nevertheless.
local STANDS_BY = { planning = true, queued = true, running = true, cancelling = true }

-- Everything from the cursors on was never sent. That is stored as one number or two, not per contact ID.
local function skip_what_was_never_sent(portal, job, now)
  local facts = redis.call('HMGET', job, 'cursor', 'total', 'canary', 'canary_cursor', 'canary_state')
  local cursor, total, canary = tonumber(facts[1]), tonumber(facts[2]), tonumber(facts[3])
  local never_sent = total - cursor
  if canary then
    never_sent = never_sent - (tonumber(facts[4]) - canary_before(cursor, canary, total))
    if facts[5] ~= 'passed' then
      redis.call('HSET', job, 'canary_state', 'cancelled')
    end
  end
  if never_sent > 0 then
    redis.call('HSET', job, 'skipped_from', cursor, 'skipped_ms', now, 'cursor', total)
    if canary then
      redis.call('HSET', job, 'skipped_canary_from', facts[4], 'canary_cursor', canary)
    end
    redis.call('HINCRBY', job, 'n:skipped', never_sent)
    redis.call('HINCRBY', job, 'n:pending', -never_sent)
    redis.call('HINCRBY', portal .. STATS, 'contacts:skipped', never_sent)
  end
end

-- What failed before a person resumed the job does not count against it again.
local function forgive_failures(job)
  local counts = redis.call('HMGET', job, 'total', 'n:pending', 'n:failed')
  redis.call('HSET', job, 'judged_done', tonumber(counts[1]) - tonumber(counts[2]), 'judged_failed', counts[3] or 0)
end

-- Carry out `event` (pause, resume, cancel or approve) if the job's state allows it. `reason` is the state_reason of a
-- pause, `terms` those of an approval (see plan.lua). Returns the state now, and the end (ms) of the rest that the portal
-- had asked for and this cut short, or 0; or nil, the state that does not allow the event, and what else forbids it.
local function steer(portal, job, job_id, event, reason, by, token, terms, now)
  local to, state
  if event == 'approve' and redis.call('HGET', job, 'state') == 'awaiting_approval' then
    local forbidden = objection(job, by, terms, now)
    if forbidden then
      return nil, 'awaiting_approval', forbidden
    end
    note_approval(job)
  end
  if event == 'pause' then
    to, state = pause(portal, job, job_id, reason, now)
  else
    to, state = move(job, event)
  end
  local rested, rest_ms
  if event == 'resume' and (to or STANDS_BY[state]) then
    rested, rest_ms = lift_rest(portal)
    if rested or redis.call('EXISTS', portal .. FAULTS) == 1 then
      to = to or state
    end
  end
  if not to then
    return nil, state
  end
  if event == 'resume' or event == 'cancel' then
    forget_faults(portal)  -- a person has acted: the portal is tried again
  end
  if event == 'resume' then
    forgive_failures(job)
    if redis.call('HGET', job, 'canary_state') == 'waiting' then
      redis.call('HSET', job, 'canary_state', 'passed')
    end
  end
  if event ~= 'pause' then
    redis.call('HDEL', job, 'state_reason')
    if event == 'cancel' then
      redis.call('UNLINK', job .. SAMPLE)
      redis.call('HDEL', job, 'survey')
      skip_what_was_never_sent(portal, job, now)
    end
    if event == 'approve' and terms.cooling_off_ms > 0 then
      redis.call('HSET', job, 'not_before_ms', now + terms.cooling_off_ms)
    end
    -- Also if it was cancelled: what was sent before and is not decided yet is still looked up.
    activate(portal, job_id)
  end
  note_action(job, by, event, rest_ms or '', now, token)
  if rested then
    note_action(portal, by, event, rest_ms or '', now)
  end
  return after_change(portal, job, job_id, now), rest_ms or 0
end
