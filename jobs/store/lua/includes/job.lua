-- Shared by the scripts: the server's clock, and moving a job from state to state. Python puts the table MOVES before it, and
-- the values of the constants, whose names are in capitals, into it (jobs/store/lua_constants.py). What ends or pauses a job needs events. All times are
-- milliseconds on this server's clock unless a name ends in _us, or it is said that they are on the steady clock (clock.lua).

local function now_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- Returns whether a reason belongs to a class, which is one text with each of its reasons between blanks.
local function is_one_of(class, reason)
  return reason and string.find(class, ' ' .. reason .. ' ', 1, true) ~= nil
end

-- An item's ID ends in the number of contact IDs that it holds: "7:200".
local function size_of(item_id)
  return tonumber(string.match(item_id, ':(%d+)$'))
end

-- Let the job take turns with the others of the portal; its first turn comes right after the job that was served last.
local function activate(portal, job_id)
  redis.call('ZADD', portal .. ACTIVE, 'NX', redis.call('HGET', portal, 'turn') or 0, job_id)
  redis.call('ZREM', portal .. WAITING, job_id)
end

local function deactivate(portal, job_id)
  redis.call('ZREM', portal .. ACTIVE, job_id)
  redis.call('ZREM', portal .. WAITING, job_id)
end

-- Update the lists of jobs by state, which are read newest first (jobs/store/job_lists.py). No `from`: the job is new.
local function list_job(job, from, to)
  local job_id = string.sub(job, #JOB + 1)
  if from then
    redis.call('ZREM', JOBS_IN .. from, job_id)
  end
  redis.call('ZADD', JOBS_IN .. to, redis.call('HGET', job, 'created_ms') or 0, job_id)
end

-- Move the job if the table allows it. Returns the new and the previous state, or nil and the present one.
local function move(job, event)
  local state = redis.call('HGET', job, 'state')
  local to = state and MOVES[state .. '/' .. event]
  if not to then
    return nil, state
  end
  if to ~= state then
    redis.call('HSET', job, 'state', to)
    list_job(job, state, to)
  end
  return to, state
end

-- Finish or pause the job if nothing is left to wait for, after a batch or an ID was settled. Returns the job's state.
local function after_change(portal, job, job_id, now)
  local facts = redis.call('HMGET', job, 'state', 'n:pending', 'inflight')
  local state = facts[1]
  if tonumber(facts[2]) == 0 and tonumber(facts[3]) == 0 then
    local ended, before = move(job, 'finish')
    if ended then
      redis.call('HSET', job, 'finished_ms', now, 'ended_from', before)
      redis.call('HDEL', job, 'state_reason')
      redis.call('ZADD', FINISHED, now, job_id)
      deactivate(portal, job_id)
      tell_of_job(job, 'job.' .. ended, now)
      return ended
    end
  elseif tonumber(facts[3]) == 0 and state == 'pausing' then
    local drained = move(job, 'drained')
    tell_of_job(job, 'job.' .. drained, now)
    return drained
  end
  return state
end

-- Ask for a pause: no new batch starts, and the job is paused as soon as nothing is in flight.
local function pause(portal, job, job_id, reason, now)
  local to, state = move(job, 'pause')
  if to then
    redis.call('HSET', job, 'state_reason', reason)
    deactivate(portal, job_id)
    state = after_change(portal, job, job_id, now)
  end
  return to, state
end
