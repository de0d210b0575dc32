-- Shared by the scripts: the progress of a job over time. List job:{id}:history of "at_ms decided rate batch_size",
-- oldest first (jobs/view/history.py). When the list is full, every second sample is dropped, and from then on samples
-- are taken half as often, so that it is never longer than a few hundred, and weeks can be drawn as well as seconds.

-- `now` is on the steady clock.
local function note_history(portal, job, done, now, wall)
  local key, every = job .. HISTORY, tonumber(redis.call('HGET', job, 'history_every_ms') or FIRST_SAMPLE_EVERY_MS)
  local pacing = redis.call('HMGET', portal, 'rate', 'batch_size')
  local sample = string.format('%.0f %.0f %s %s', wall, done, pacing[1] or 0, pacing[2] or 0)
  if redis.call('RPUSH', key, sample) >= MOST_SAMPLES then
    local samples = redis.call('LRANGE', key, 0, -1)
    redis.call('DEL', key)
    for index = 1, #samples, 2 do
      redis.call('RPUSH', key, samples[index])
    end
    every = every * 2
    redis.call('HSET', job, 'history_every_ms', every)
  end
  redis.call('HSET', job, 'history_due_ms', now + every)
end
