-- Shared by the scripts: which job gets the next turn, and what is sent of it. Jobs of a portal take turns; the first
-- of {portal}:active has the next one. A job that has nothing to offer now moves to {portal}:waiting until it has work
-- due.
--
-- What the lane can take is the same for all jobs: {now, clock_us, look_up_size, linger, retry_turn_us}.

-- Every call counts against the rate, so look-ups of many batches are joined into one where that costs little. Returns
-- the item IDs of one look-up, and how many contact IDs they hold: a full look-up if more are due than fit into one.
local function join(look_ups, look_up_size)
  local chosen, size = {}, 0
  for index = 1, #look_ups, 2 do
    local more = size_of(look_ups[index])
    if size > 0 and size + more > look_up_size then
      return chosen, look_up_size
    end
    chosen[#chosen + 1] = look_ups[index]
    size = size + more
  end
  return chosen, size
end

-- Returns what the job offers now: {call, item IDs} or, for contact IDs ahead of the cursors, {call, nil, cursor,
-- total, canary = its size, handed_out = see fresh_of}. If it offers nothing: nil, and whether its state allows it any
-- turns.
local function offer(job_id, lane)
  local job, now = JOB .. job_id, lane.now
  local facts = redis.call('HMGET', job, 'state', 'cursor', 'total', 'canary')
  local state, cursor, total, canary = facts[1], tonumber(facts[2]), tonumber(facts[3]), tonumber(facts[4])
  if state ~= 'queued' and state ~= 'running' and state ~= 'cancelling' then
    return nil, false
  end
  local look_ups = redis.call('ZRANGE', job .. DUE[LOOK_UP], '-inf', now, 'BYSCORE', 'LIMIT', 0, 200, 'WITHSCORES')
  local put = redis.call('ZRANGE', job .. DUE[PUT], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
  local is_retry = put and is_retry(redis.call('HGET', job .. ITEMS, put))
  if is_retry and lane.retry_turn_us > lane.clock_us then
    redis.call('ZADD', job .. DUE[PUT], math.ceil(lane.retry_turn_us / 1000), put)
    put = nil
  end
  local has_fresh, handed_out = cursor < total, nil
  if canary then
    has_fresh, handed_out = fresh_of(job, canary, cursor, total)
  end
  local has_put = put or has_fresh
  if #look_ups > 0 then
    local chosen, size = join(look_ups, lane.look_up_size)
    if not has_put or size >= lane.look_up_size or tonumber(look_ups[2]) + lane.linger <= now then
      return { LOOK_UP, chosen }
    end
  end
  if put then
    return { PUT, { put }, is_retry = is_retry }
  end
  if has_fresh then
    return { PUT, nil, cursor, total, canary = canary, handed_out = handed_out }
  end
  return nil, true
end

-- Returns when the job's next work is due; nil if everything that is left is in flight.
local function due(job_id)
  local job, soonest = JOB .. job_id, nil
  for _, key in pairs(DUE) do
    local first = redis.call('ZRANGE', job .. key, 0, 0, 'WITHSCORES')
    if first[2] and (not soonest or tonumber(first[2]) < soonest) then
      soonest = tonumber(first[2])
    end
  end
  return soonest
end

-- Returns the offer of the first job that has one, the job's ID and its turn; nil if no job has one.
local function choose(portal, lane)
  local active, waiting = portal .. ACTIVE, portal .. WAITING
  for _, job_id in ipairs(redis.call('ZRANGE', waiting, '-inf', lane.now, 'BYSCORE', 'LIMIT', 0, 100)) do
    activate(portal, job_id)
  end
  while true do
    local first = redis.call('ZRANGE', active, 0, 0, 'WITHSCORES')
    local job_id = first[1]
    if not job_id then
      return nil
    end
    local chosen, serve = offer(job_id, lane)
    if chosen then
      return chosen, job_id, first[2]
    end
    deactivate(portal, job_id)
    local soonest = serve and due(job_id)
    if soonest then
      redis.call('ZADD', waiting, soonest, job_id)
    end
  end
end
