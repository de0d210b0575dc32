-- Shared by the scripts: bundles, the records that are kept of contacts before these are deleted. Needs job, item and
-- canary. A job that keeps a bundle has in its hash:
--
--   undo              '1': nothing of it is sent before its bundle is complete
--   bundle            making, kept, or destroyed; missing before it is begun
--   bundle_id         which of the job's bundles it is
--   bundle_late       '1' if something of the job had been sent before the bundle was begun
--   bundle_…          what it holds (jobs/bundles/facts.py)
--   keeper            the worker that holds in memory what it has read since the last object was written
--   keeper_until_ms   until when, on the steady clock, the steps of this bundle are left to it, while it is alive
--
--   {portal}:keeping  zset: jobs whose bundles are being made -> until when that counts (ms, steady). A worker has only so many in
--                     memory: with more of them taking turns, each would make it forget what it has read for another.
--   {job}:kept        hash: segment -> which of its contacts have a record (jobs/bundles/kept.py), once it is complete

-- A bundle of which no step is taken for this time, or for fifty turns, is left to nobody, and makes room for another.
local KEEPER_WAITS_MS = 45000
-- A job that finds no room asks again after this time.
local ASK_AGAIN_MS = 1000

-- Returns whether the job's bundle has to be completed before anything else of it is sent. A portal can want that of
-- every job, also of one that was accepted before it did.
local function needs_bundle(undo, bundle, state, lane)
  return (undo or lane.undo_required) and bundle ~= 'kept' and state ~= 'cancelling'
end

-- Returns whether another worker, which is alive, is about to go on with the bundle.
local function is_left_to_another(job, lane)
  local facts = redis.call('HMGET', job, 'keeper', 'keeper_until_ms')
  if not facts[1] or facts[1] == lane.worker or tonumber(facts[2]) <= lane.now then
    return false
  end
  return (tonumber(redis.call('ZSCORE', WORKERS, facts[1])) or 0) > lane.now
end

-- Returns whether as many bundles of the portal are being made as a worker has room for, and this is not one of them.
local function is_crowded(portal, job_id, now)
  local keeping = portal .. KEEPING
  redis.call('ZREMRANGEBYSCORE', keeping, '-inf', now)
  return redis.call('ZCARD', keeping) >= MOST_KEEPING and not redis.call('ZSCORE', keeping, job_id)
end

-- The worker of a lane goes on with the bundle.
local function leave_to(portal, job, job_id, worker, now)
  local turn_ms = 1000 / (tonumber(redis.call('HGET', portal, 'rate')) or 1)
  local until_ms = now + math.ceil(math.max(KEEPER_WAITS_MS, 50 * turn_ms))
  redis.call('HSET', job, 'keeper', worker, 'keeper_until_ms', until_ms)
  redis.call('ZADD', portal .. KEEPING, until_ms, job_id)
end

-- Returns whether the records of a segment are kept: of the item, or of the next contact IDs ahead of the cursors.
local function is_kept(job, item_id, cursor, total, canary, handed_out)
  local segment
  if item_id then
    segment = segment_of(redis.call('HGET', job .. ITEMS, item_id))
  else
    local place = cursor
    if canary and handed_out then
      place = canary_place(handed_out, canary, total)
    elseif canary then
      place = rest_place(cursor - canary_before(cursor, canary, total), canary, total)
    end
    segment = math.floor(place / SEGMENT_SIZE)
  end
  return redis.call('HEXISTS', job .. KEPT, segment) == 1
end

-- Send nothing of a job of which it is not certain what is kept.
local function pause_unkept(portal, job, job_id, now)
  local message = 'it is not in Redis any more which records were kept; cancel the job, and submit its list again'
  redis.call('HSET', job, 'last_error', message)
  pause(portal, job, job_id, UNDO_STORE, now)
end
