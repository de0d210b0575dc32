-- Shared by the scripts: whether the result of a batch stops its job, and which workers a fault of the portal holds.

-- Record what went wrong last. An answer that arrives after the fault that stopped the job does not hide what has to be
-- fixed.
local function note_error(job, message)
  local stopped = redis.call('HMGET', job, 'state', 'state_reason')
  local by_fault = (stopped[1] == 'pausing' or stopped[1] == 'paused') and is_one_of(FAULT_REASONS, stopped[2])
  if not by_fault then
    redis.call('HSET', job, 'last_error', message)
  end
end

-- Returns whether too many of the decided contact IDs have failed, not counting those up to the last resume or retry.
local function fails_too_often(batch, done, failed, seen_done, seen_failed)
  local judged = done - (tonumber(seen_done) or 0)
  failed = (tonumber(failed) or 0) - (tonumber(seen_failed) or 0)
  return judged >= batch.threshold_from and failed > judged * batch.threshold
end

-- Hold all workers that would meet this fault too. Returns whether a worker with another configuration can go on.
local function hold_portal(portal, fingerprint, reason, batch, now, wall)
  -- The fault concerns not only this job: the others wait too, until a user resumes or cancels a job of the portal. If
  -- no one does, one of them tries again later.
  local configuration = batch.everyone and EVERYONE or fingerprint
  note_fault(portal, configuration, reason, batch.last_error or '', now)
  tell_of_new_fault(portal, configuration, reason, wall)
  if configuration == EVERYONE then
    take_care(portal)  -- when it lapses, or a user resumes a job, one call finds out
    return false
  end
  return others_can(portal, configuration, now)
end

-- `now` is on the steady clock.
local function stop_job(portal, job, job_id, fingerprint, reason, batch, now, wall)
  if not is_one_of(FAULT_REASONS, reason) or not hold_portal(portal, fingerprint, reason, batch, now, wall) then
    pause(portal, job, job_id, reason, wall)
  end
end
