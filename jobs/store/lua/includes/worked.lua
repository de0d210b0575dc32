-- Shared by the scripts: how long a job was worked on, and how much of it is done. Job hash: worked_ms, worked_until_ms
-- and two marks of (time worked, decided), from which the present throughput is computed (jobs/view/job.py).

-- Longest wait for a turn that counts as work. A longer gap is a pause, an outage or a night, and must not lower the
-- pace.
local WAIT_COUNTS_MS = 5000
-- The older mark is at least this old, and mostly less than twice as old.
local MARK_EVERY_MS = 5000

-- Add the time of a call, and as much time before it as the wait for a turn may take. The last three arguments are from
-- the job's hash: time worked before, until when it was worked on (at first: since when), time worked at the last mark.
local function note_worked(portal, job, took_ms, done, now, worked_before, until_ms, mark)
  local turn_ms = 1000 / (tonumber(redis.call('HGET', portal, 'rate')) or 1)
  local earliest = now - took_ms - math.max(WAIT_COUNTS_MS, 2 * turn_ms)
  local since = math.max(earliest, tonumber(until_ms))
  local worked_ms = (tonumber(worked_before) or 0) + math.floor(math.max(now - since, 0))
  redis.call('HSET', job, 'worked_ms', worked_ms, 'worked_until_ms', now)
  if not mark then
    redis.call('HSET', job, 'mark_worked_ms', worked_ms, 'mark_done', done)
  elseif worked_ms - tonumber(mark) >= MARK_EVERY_MS then
    local last = redis.call('HMGET', job, 'mark_worked_ms', 'mark_done')
    redis.call('HSET', job, 'old_mark_worked_ms', last[1], 'old_mark_done', last[2], 'mark_worked_ms', worked_ms,
      'mark_done', done)
  end
end
