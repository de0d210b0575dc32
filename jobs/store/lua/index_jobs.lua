-- include: job
-- Put jobs into the list of their state, and remove them from all others; jobs that no longer exist, from all lists.
-- Scripts update the lists in the step that moves a job. This is for jobs that an older version created or moved.
--   KEYS     1… the lists of all states
--   ARGV     1… job IDs
--   returns  1
for _, job_id in ipairs(ARGV) do
  local facts = redis.call('HMGET', JOB .. job_id, 'state', 'created_ms')
  for _, list in ipairs(KEYS) do
    if facts[1] and list == JOBS_IN .. facts[1] then
      redis.call('ZADD', list, facts[2] or 0, job_id)
    else
      redis.call('ZREM', list, job_id)
    end
  end
end
return 1
