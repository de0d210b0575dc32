-- include: job item pace history faults
-- Record what became of a batch, exactly once: the claim is both the permission and what is used up.
--   KEYS[1]  portal hash
--   ARGV     1 key of the claim: lane token/place   2 seq of the claim
--            3 fingerprint of the lane's configuration
--            4 msgpack map (jobs/lanes/lease.py, Settlement):
--              records      {segment, …}                          of each record
--              counts       {outcome = how many, …}               of all records
--              items        {{call, delay_ms, size}, …}           of each item: what is to be done next, and when
--              sent, retried, throttled                           calls to add to the job's counters
--              last_error   text, or nil                          the last thing that went wrong
--              stop         state_reason, or nil                  a person has to act: the job pauses, unless it is a
--                           fault of this configuration and a worker with another one can go on
--              everyone     true, or nil                          it is no fault of this configuration alone
--              push_back_ms, push_back_reason, or nil             nobody calls the portal before
--              asked_ms     or nil                                the rest that the portal asked for, perhaps a longer one
--              calm         true, or nil                          the portal answered well: forget its troubles
--              slow_down    ceiling in calls/s, or nil            the portal pushed back: cut the learned rate
--              batch_size   or nil                                contact IDs of the next batches
--              answer       {call, result, bucket, took_ms, text}, or nil: what came of the call, for jobs/view/stats.py; text is
--                           the entry of the portal's list of last answers
--              threshold    failed share of the decided ones (0 to 1) above which the job pauses
--              threshold_from   decided contact IDs before that is judged
--            5… the records (decided contact IDs), then the items (undecided ones), as they are kept
--   returns  {'ok', state}   recorded
--            {'lost'}        the claim is not ours any more: rescued, or recorded by an earlier try of this very call
--   raises   UNBALANCED: decided and undecided IDs are not those of the batch; nothing was changed
local WAIT_COUNTS_MS = 5000

local portal, claim_key, seq = KEYS[1], ARGV[1], tonumber(ARGV[2])
local claims, now = portal .. CLAIMS, now_ms()
local held = redis.call('HGET', claims, claim_key)
local claim = held and cmsgpack.unpack(held)
if not claim or claim[1] ~= seq then
  return { 'lost' }
end
local job_id = claim[2]
local job = JOB .. job_id
local batch = cmsgpack.unpack(ARGV[4])

local balance, decided = 0, 0
for index = 4, #claim do
  balance = balance + size_of(claim[index])
end
for _, count in pairs(batch.counts) do
  decided = decided + count
end
balance = balance - decided
for _, item in ipairs(batch.items) do
  balance = balance - item[3]
end
if balance ~= 0 then
  return redis.error_reply('UNBALANCED claim ' .. seq .. ' of job ' .. job_id .. ': ' .. balance .. ' IDs too few')
end

redis.call('HDEL', claims, claim_key)
redis.call('HDEL', job .. ITEMS, unpack(claim, 4))
redis.call('HINCRBY', job, 'inflight', -1)
for index, segment in ipairs(batch.records) do
  redis.call('RPUSH', job .. LEDGER .. segment, ARGV[4 + index])
end
for outcome, count in pairs(batch.counts) do
  redis.call('HINCRBY', job, 'n:' .. outcome, count)
end
if decided > 0 then
  redis.call('HINCRBY', job, 'n:pending', -decided)
end
for index, item in ipairs(batch.items) do
  local call, delay, size = item[1], item[2], item[3]
  local item_id = redis.call('HINCRBY', job, 'next_item', 1) .. ':' .. size
  redis.call('HSET', job .. ITEMS, item_id, ARGV[4 + #batch.records + index])
  redis.call('ZADD', job .. DUE[call], now + delay, item_id)
end

for _, name in ipairs({ 'sent', 'retried', 'throttled' }) do
  if batch[name] > 0 then
    redis.call('HINCRBY', job, name, batch[name])
  end
end
local stats = portal .. STATS
for outcome, count in pairs(batch.counts) do
  redis.call('HINCRBY', stats, 'contacts:' .. outcome, count)
end
local answer = batch.answer
if answer then
  local call, result, bucket, took_ms = answer[1], answer[2], answer[3], answer[4]
  redis.call('HINCRBY', stats, 'calls:' .. call .. ':' .. result, 1)
  redis.call('HINCRBY', stats, 'seconds:' .. call .. ':' .. bucket, 1)
  redis.call('HINCRBY', stats, 'ms_sum:' .. call, took_ms)
  redis.call('LPUSH', portal .. ANSWERS, answer[5])
  redis.call('LTRIM', portal .. ANSWERS, 0, LAST_ANSWERS - 1)
end
for _, name in ipairs({ 'retried', 'throttled' }) do
  if batch[name] > 0 then
    redis.call('HINCRBY', stats, name, batch[name])
  end
end
if batch.last_error then
  -- An answer that comes in after the fault that stopped the job does not hide what is to be put right.
  local stopped = redis.call('HMGET', job, 'state', 'state_reason')
  local by_fault = (stopped[1] == 'pausing' or stopped[1] == 'paused') and is_fault(stopped[2])
  if not by_fault then
    redis.call('HSET', job, 'last_error', batch.last_error)
  end
end
local careful = redis.call('HGET', portal, 'careful')
if careful and seq > (tonumber(careful) or 0) then
  if batch.calm then
    redis.call('HDEL', portal, 'careful')
  elseif answer then
    -- Not well yet, and perhaps without a word about how long to stay away: the next one goes at the slowest pace.
    batch.push_back_ms = math.max(batch.push_back_ms or 0, 1000 / SLOWEST)
    batch.push_back_reason = batch.push_back_reason or 'push_back'
  end
end
local away_until = tonumber(redis.call('HGET', portal, 'push_back_until_ms') or 0)
if batch.calm and away_until <= now then
  redis.call('HDEL', portal, 'push_back_reason')
end
if batch.push_back_ms and OUR_OWN[batch.push_back_reason] and others_can(portal, ARGV[3], now) then
  note_fault(portal, ARGV[3], batch.push_back_reason, batch.last_error or '', now, batch.push_back_ms)
elseif batch.push_back_ms then
  -- Only ever further away: an answer that was on its way does not shorten what a later one asked for. The reason is that
  -- of the longest wait.
  local until_ms = now + batch.push_back_ms
  if until_ms >= away_until then
    redis.call('HSET', portal, 'push_back_until_ms', until_ms, 'push_back_reason', batch.push_back_reason)
    if away_until <= now then
      redis.call('HDEL', portal, 'asked_until_ms')
    end
    if batch.asked_ms then
      -- Within one rest the longest request counts: the answers of calls that were under way together differ.
      local asked_before = tonumber(redis.call('HGET', portal, 'asked_until_ms')) or 0
      redis.call('HSET', portal, 'asked_until_ms', math.max(asked_before, now + batch.asked_ms))
      if batch.asked_ms > batch.push_back_ms then
        take_care(portal)
      end
    end
  end
end
if batch.push_back_ms and batch.push_back_reason ~= 'login_guard' then
  redis.call('HINCRBY', stats, 'push_backs', 1)
end
if batch.slow_down then
  slow_down(portal, seq, batch.slow_down)
end
if batch.batch_size then
  redis.call('HSET', portal, 'batch_size', batch.batch_size)
end

-- The time in which the job was worked on: that of its calls, and before each as much as the wait for a turn may take.
-- A longer gap is a pause, an outage or a night, of which a pace must not be made.
local facts = redis.call('HMGET', job, 'total', 'n:pending', 'mark_worked_ms', 'n:failed', 'state', 'judged_done',
  'judged_failed', 'history_due_ms', 'n:skipped', 'worked_ms', 'worked_until_ms', 'started_ms')
local done = tonumber(facts[1]) - tonumber(facts[2])
local turn_ms = 1000 / (tonumber(redis.call('HGET', portal, 'rate')) or 1)
local earliest = now - (answer and answer[4] or 0) - math.max(WAIT_COUNTS_MS, 2 * turn_ms)
local since = math.max(earliest, tonumber(facts[11] or facts[12]))
local worked_ms = (tonumber(facts[10]) or 0) + math.floor(math.max(now - since, 0))
redis.call('HSET', job, 'worked_ms', worked_ms, 'worked_until_ms', now)

-- Two marks of (time worked, decided), the older one at least 5 s and mostly less than 10 s old, give the present
-- throughput.
if not facts[3] then
  redis.call('HSET', job, 'mark_worked_ms', worked_ms, 'mark_done', done)
elseif worked_ms - tonumber(facts[3]) >= 5000 then
  local last = redis.call('HMGET', job, 'mark_worked_ms', 'mark_done')
  redis.call('HSET', job, 'old_mark_worked_ms', last[1], 'old_mark_done', last[2], 'mark_worked_ms', worked_ms,
    'mark_done', done)
end

-- Contacts that a cancellation skipped all at once are no work: they would be drawn as a burst of it.
local worked = done - (tonumber(facts[9]) or 0)
if now >= (tonumber(facts[8]) or 0) then
  note_history(portal, job, worked, now)
end

if #batch.items > 0 and (facts[5] == 'running' or facts[5] == 'cancelling') then
  activate(portal, job_id)
end
local stop = batch.stop
-- Since somebody had a look last, how many of how many have failed?
local judged = done - (tonumber(facts[6]) or 0)
local failed = (tonumber(facts[4]) or 0) - (tonumber(facts[7]) or 0)
if not stop and judged >= batch.threshold_from and failed > judged * batch.threshold then
  stop = 'failure_threshold'
end
if stop then
  local configuration, goes_on = batch.everyone and EVERYONE or ARGV[3], false
  if is_fault(stop) then
    -- Not this job's fault alone: the others wait too, until somebody resumes or cancels a job of the portal. If nobody
    -- does, one of them tries again later.
    note_fault(portal, configuration, stop, batch.last_error or '', now)
    if configuration == EVERYONE then
      take_care(portal)  -- when it lapses, or somebody resumes, one call finds out
    end
    goes_on = configuration ~= EVERYONE and others_can(portal, configuration, now)
  end
  if not goes_on then
    pause(portal, job, job_id, stop, now)
  end
end
local state = after_change(portal, job, job_id, now)
if state == 'completed' or state == 'cancelled' then
  note_history(portal, job, worked, now)
end
return { 'ok', state }
