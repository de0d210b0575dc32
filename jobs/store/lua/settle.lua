-- include: clock events job item claim record stats pace faults push_back gates worked history judge stop survey
-- Record what became of a batch, exactly once: the claim is the permission, and recording uses it up.
--   KEYS[1]  portal hash
--   ARGV     1 key of the claim: lane token/place   2 seq of the claim
--            3 fingerprint of the lane's configuration
--            4 msgpack map (jobs/lanes/settlement.py):
--              records      {segment, …}                          of each record
--              counts       {outcome = how many, …}               of all records
--              items        {{call, delay_ms, size}, …}           of each item: the next call, and when
--              sent, retried, throttled                           calls to add to the job's counters
--              unsent       contact IDs of the PUT that were not sent after all
--              departures   or nil                                decided ones that did not end as expected
--              last_error   text, or nil                          the last thing that went wrong
--              stop         state_reason, or nil                  a person has to act: the job pauses, unless it is a
--                           fault of this configuration and a worker with another one can go on
--              everyone     true, or nil                          the fault is not limited to this configuration
--              push_back_ms, push_back_reason, or nil             how long no worker calls the portal, and why
--              asked_ms     or nil                                the rest that the portal asked for, perhaps longer
--              calm         true, or nil                          the portal answered well: forget its troubles
--              slow_down    ceiling in calls/s, or nil            the portal pushed back: cut the learned rate
--              batch_size   or nil                                contact IDs of the next batches
--              answer       {call, result, bucket, took_ms, text}, or nil: the result of the call, for
--                           jobs/view/stats.py; text is the entry for the portal's list of last answers
--              survey       what a step of the job's survey found (jobs/lanes/survey_step.py), or nil
--              threshold    failed share of the decided ones (0 to 1) above which the job pauses
--              threshold_from   decided contact IDs from which on that is judged
--            5… the records (decided contact IDs), then the items (undecided ones), as they are stored; or the
--            segments that a step of a survey writes
--   returns  {'ok', state}   recorded
--            {'lost'}        the claim is no longer ours: rescued, or recorded by an earlier try of this same call
--   raises   UNBALANCED: decided and undecided IDs are not those of the batch; nothing was changed
local portal, claim_key, seq, fingerprint = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local now, wall = steady_ms()
local claim = read_claim(portal, claim_key)
if not claim or claim[1] ~= seq then
  return { 'lost' }
end
local job_id = claim[2]
local job = JOB .. job_id
local batch = cmsgpack.unpack(ARGV[4])

local decided, missing = balance_of(claim, batch)
if missing ~= 0 then
  return redis.error_reply('UNBALANCED claim ' .. seq .. ' of job ' .. job_id .. ': ' .. missing .. ' IDs too few')
end

redis.call('HDEL', portal .. CLAIMS, claim_key)
if batch.survey then
  settle_step(portal, job, job_id, batch.survey, 5, now, wall)
else
  record(job, claim, batch, decided, 5, now)
end
count_batch(portal, job, batch)
count_back(portal, claim.day, math.min(batch.unsent, claim.counted or 0))
if batch.last_error then
  note_error(job, batch.last_error)
end

heed_push_back(portal, fingerprint, seq, batch, now)
if batch.slow_down then
  slow_down(portal, seq, batch.slow_down)
end
if batch.batch_size then
  redis.call('HSET', portal, 'batch_size', batch.batch_size)
end

if batch.survey then
  if batch.stop then
    stop_job(portal, job, job_id, fingerprint, batch.stop, batch, now, wall)
  end
  if batch.stop == UNDO_STORE then
    redis.call('HINCRBY', portal .. STATS, 'undo_failures', 1)
  end
  return { 'ok', after_change(portal, job, job_id, wall) }
end

local total, pending, skipped, failed, before, history_due_ms, judged_done, judged_failed, worked_ms, worked_until_ms,
  started_ms, mark_worked_ms, canary_state = unpack(redis.call('HMGET', job, 'total', 'n:pending', 'n:skipped', 'n:failed', 'state',
  'history_due_ms', 'judged_done', 'judged_failed', 'worked_ms', 'worked_until_ms', 'started_ms', 'mark_worked_ms',
  'canary_state'))
local done = tonumber(total) - tonumber(pending)
local took_ms = batch.answer and batch.answer[4] or 0
note_worked(portal, job, took_ms, done, wall, worked_ms, worked_until_ms or started_ms, mark_worked_ms)
-- Contacts that a cancellation skipped were no work: they would be drawn as a burst of it.
local worked = done - (tonumber(skipped) or 0)
if now >= (tonumber(history_due_ms) or 0) then
  note_history(portal, job, worked, now, wall)
end

if #batch.items > 0 and (before == 'running' or before == 'cancelling') then
  activate(portal, job_id)
end
local stop = batch.stop
if not stop and fails_too_often(batch, done, failed, judged_done, judged_failed) then
  stop = FAILURE_THRESHOLD
end
if batch.departures and (canary_state == 'running' or canary_state == 'cancelled') then
  redis.call('HINCRBY', job, 'canary_departed', batch.departures)
end
if canary_state == 'running' and canary_stops(portal, job, job_id) then
  stop = CANARY
end
if stop then
  stop_job(portal, job, job_id, fingerprint, stop, batch, now, wall)
end
local state = after_change(portal, job, job_id, wall)
if state == 'completed' or state == 'cancelled' then
  note_history(portal, job, worked, now, wall)
end
return { 'ok', state }
