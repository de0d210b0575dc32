-- Shared by the scripts: surveys. A survey reads a job's contacts from the portal in steps of one call each: to plan the
-- job, or to look again, before a late start, at what has changed since. Its progress is in the job's hash:
--
--   survey         where it stands, JSON (worker/survey.py); missing before its first step
--   survey_due_ms  from when on the next step can be taken, ahead of any PUT; missing when no survey is needed
--   surveying      while a lane holds a step, of which there is never more than one: the job's turn after it
--   survey_…       how far it is, for people (jobs/plan/progress.py)

-- Returns whether the job needs a survey before anything else of it is sent.
local function needs_survey(state, due_ms, now)
  return due_ms and tonumber(due_ms) <= now and state ~= 'cancelling'
end

-- A lane takes the next step, in its job's turn.
local function take_step(job, turn, stride)
  redis.call('HSET', job, 'surveying', turn + stride)
end

-- A lane has given its step back, taken or not. Returns the job's next turn.
local function give_step_back(job)
  local turn = redis.call('HGET', job, 'surveying')
  redis.call('HDEL', job, 'surveying')
  return turn
end

-- Record what a step found, as the lane has laid it out (jobs/lanes/survey_step.py): facts of the job's hash, and
-- segments as binary arguments, ARGV from `first` on. A bundle is noted before anything of it is written (jobs/bundles/
-- expiry.py).
local function record_step(portal, job, job_id, step, first, now)
  for _, part in ipairs(step.clear) do
    redis.call('UNLINK', job .. part)
  end
  for name, value in pairs(step.facts) do
    redis.call('HSET', job, name, value)
  end
  for _, name in ipairs(step.forget) do
    redis.call('HDEL', job, name)
  end
  for index, place in ipairs(step.places) do
    redis.call('HSET', job .. place[1], place[2], ARGV[first - 1 + index])
  end
  if step.begins_bundle then
    redis.call('ZADD', BUNDLES, now, step.begins_bundle)
  end
  if step.kept then
    redis.call('HINCRBY', portal .. STATS, 'records_kept', step.kept[1])
    redis.call('HINCRBY', portal .. STATS, 'record_bytes', step.kept[2])
  end
  if step.facts.bundle == 'kept' then
    redis.call('ZREM', portal .. KEEPING, job_id)
  end
  if step.sample then
    redis.call('SET', job .. SAMPLE, step.sample, 'PXAT', step.sample_until_ms)
  end
end

-- Move a job whose survey has come to its end.
local function end_planning(portal, job, job_id, event, now)
  if event == 'planned' then
    redis.call('HSET', job, 'n:pending', redis.call('HGET', job, 'total'), 'state_reason', APPROVAL)
    tell_of_job(job, 'job.planned', now)
  else
    redis.call('HSET', job, 'finished_ms', now, 'ended_from', 'planning')
    redis.call('HDEL', job, 'survey')  -- with the names of the sample so far
    redis.call('ZADD', FINISHED, now, job_id)
  end
  tell_of_job(job, 'job.' .. redis.call('HGET', job, 'state'), now)
  deactivate(portal, job_id)
end

local TAKES_STEPS = { planning = true, queued = true, running = true, pausing = true, paused = true }

-- Settle a step: record what it found, unless the job has been cancelled or has ended meanwhile, and see to the next one.
-- `now` is on the steady clock.
local function settle_step(portal, job, job_id, step, first, now, wall)
  local turn = give_step_back(job)
  redis.call('HINCRBY', job, 'inflight', -1)
  local event = step.event
  local moved = event and move(job, event)
  local state = redis.call('HGET', job, 'state')
  if moved or (not event and TAKES_STEPS[state]) then
    record_step(portal, job, job_id, step, first, wall)
  end
  if moved then
    end_planning(portal, job, job_id, event, wall)
  elseif state == 'planning' or state == 'queued' or state == 'running' then
    deactivate(portal, job_id)
    if step.delay_ms > 0 then
      redis.call('ZADD', portal .. WAITING, now + step.delay_ms, job_id)
    else
      -- Not the next turn, as for a job that becomes active: between two steps, other jobs have theirs.
      redis.call('ZADD', portal .. ACTIVE, turn, job_id)
    end
  end
end
