-- Shared by the scripts: which job gets the next turn, and what is sent of it. Jobs of a portal take turns; the first
-- of {portal}:active has the next one. A job that has nothing to offer now moves to {portal}:waiting until it has work
-- due.
--
-- What the lane can take is the same for all jobs: {now and clock_us on the steady clock, wall (ms), look_up_size, linger, retry_turn_us, address,
-- puts_held_until, conditions, undo_required, worker}. With puts_held_until, no PUT of the portal may leave (gates.lua).
-- What a plan allows may leave only under the conditions under which the plan was made (plan.lua), and nothing leaves
-- before what has to be kept is kept (keeping.lua).

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

-- Returns when the job's next work is due; nil if everything that is left is in flight. PUTs that a gate holds are due
-- when it opens.
local function due(job, held_until, lane)
  local soonest = held_until and look_again_ms(held_until, lane) or nil
  for call, key in pairs(DUE) do
    local first = not (held_until and call == PUT) and redis.call('ZRANGE', job .. key, 0, 0, 'WITHSCORES') or {}
    if first[2] and (not soonest or tonumber(first[2]) < soonest) then
      soonest = tonumber(first[2])
    end
  end
  return soonest
end

-- Send nothing of a job that was made for another address. A job that is being cancelled cannot pause: it waits until
-- the address is right again. A plan of another portal would say nothing: there can be none. Returns when it is looked at
-- again, or nil.
local function keep_away(portal, job, job_id, state, lane)
  if state == 'planning' then
    move(job, 'cannot_plan')
    redis.call('HSET', job, 'state_reason', PORTAL_CHANGED)
    end_planning(portal, job, job_id, 'cannot_plan', lane.wall)
    return nil
  elseif state ~= 'cancelling' then
    pause(portal, job, job_id, PORTAL_CHANGED, lane.wall)
    return nil
  end
  redis.call('HSET', job, 'state_reason', PORTAL_CHANGED)
  return look_again_ms(0, lane)
end

-- Returns what the job offers now: {call, item IDs}; for contact IDs ahead of the cursors {call, nil, cursor, total,
-- canary = its size, handed_out = see fresh_of}; for a step of its survey {call, keeps = whether it is one of its bundle}.
-- If it offers nothing: nil, and when it has work due; nil again if that is not known, or its state allows it no turns;
-- and whether it has work for the lanes of another worker now.
local function offer(portal, job_id, lane)
  local job, now = JOB .. job_id, lane.now
  local state, cursor, total, not_before_ms, address, reason, survey_due_ms, surveying, plan, approved, conditions,
    canary, undo, bundle = unpack(redis.call('HMGET', job, 'state', 'cursor', 'total', 'not_before_ms', 'address',
      'state_reason', 'survey_due_ms', 'surveying', 'plan_digest', 'approved_digest', 'plan_conditions', 'canary', 'undo',
      'bundle'))
  if state ~= 'queued' and state ~= 'running' and state ~= 'cancelling' and state ~= 'planning' then
    return nil
  elseif is_elsewhere(address, lane) then
    return nil, keep_away(portal, job, job_id, state, lane)
  elseif state == 'planning' then
    return not surveying and { SURVEY } or nil
  elseif state == 'cancelling' and reason == PORTAL_CHANGED then
    redis.call('HDEL', job, 'state_reason')
  elseif state ~= 'cancelling' and not is_as_approved(plan, approved, conditions, lane.conditions) then
    pause(portal, job, job_id, PLAN_CHANGED, lane.wall)
    return nil
  end
  cursor, total = tonumber(cursor), tonumber(total)
  local look_ups = redis.call('ZRANGE', job .. DUE[LOOK_UP], '-inf', now, 'BYSCORE', 'LIMIT', 0, 200, 'WITHSCORES')
  local put = redis.call('ZRANGE', job .. DUE[PUT], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
  local is_retry = put and is_retry(redis.call('HGET', job .. ITEMS, put))
  if is_retry and lane.retry_turn_us > lane.clock_us then
    redis.call('ZADD', job .. DUE[PUT], math.ceil(lane.retry_turn_us / 1000), put)
    put = nil
  end
  local has_fresh, handed_out = cursor < total, nil
  if canary then
    canary = tonumber(canary)
    has_fresh, handed_out = fresh_of(job, canary, cursor, total)
  end
  local wants_put = put or has_fresh
  local held_until = wants_put and put_held_until(state, not_before_ms, lane) or nil
  -- Looked at again right before something is sent, not while a gate holds it: until it opens, more may change.
  local keeps = wants_put and not held_until and needs_bundle(undo, bundle, state, lane)
  local surveys_first = keeps or (wants_put and not held_until and needs_survey(state, survey_due_ms, lane.wall))
  local has_put = wants_put and not held_until and not surveys_first
  if #look_ups > 0 then
    local chosen, size = join(look_ups, lane.look_up_size)
    if not has_put or size >= lane.look_up_size or tonumber(look_ups[2]) + lane.linger <= now then
      return { LOOK_UP, chosen }
    end
  end
  if keeps and not surveying and is_crowded(portal, job_id, now) then
    return nil, now + ASK_AGAIN_MS
  elseif keeps and not surveying and is_left_to_another(job, lane) then
    return nil, nil, true
  elseif surveys_first and not surveying then
    return { SURVEY, keeps = keeps }
  elseif not has_put then
    return nil, due(job, surveys_first and 0 or held_until, lane)
  elseif bundle == 'kept' and state ~= 'cancelling' and not is_kept(job, put, cursor, total, canary, handed_out) then
    pause_unkept(portal, job, job_id, lane.wall)
    return nil
  elseif put then
    return { PUT, { put }, is_retry = is_retry }
  end
  return { PUT, nil, cursor, total, canary = canary, handed_out = handed_out }
end

-- Returns the offer of the first job that has one, the job's ID and its turn; nil if no job has one.
local function choose(portal, lane)
  local active, waiting = portal .. ACTIVE, portal .. WAITING
  for _, job_id in ipairs(redis.call('ZRANGE', waiting, '-inf', lane.now, 'BYSCORE', 'LIMIT', 0, 100)) do
    activate(portal, job_id)
  end
  local passed = 0
  while true do
    local first = redis.call('ZRANGE', active, passed, passed, 'WITHSCORES')
    local job_id = first[1]
    if not job_id then
      return nil
    end
    local chosen, soonest, stays = offer(portal, job_id, lane)
    if chosen then
      return chosen, job_id, first[2]
    elseif stays then
      passed = passed + 1
    else
      deactivate(portal, job_id)
      if soonest then
        redis.call('ZADD', waiting, soonest, job_id)
      end
    end
  end
end
