-- Note that replicas know of the end of some jobs: from now on, nobody has to ask them again.
--   KEYS     1… job hashes
--   ARGV     1… finished_ms of each, as it was when replicas were asked
--   returns  how many are still as they were
local known = 0
for index, job in ipairs(KEYS) do
  if redis.call('HGET', job, 'finished_ms') == ARGV[index] then
    redis.call('HSET', job, 'end_known_ms', ARGV[index])
    known = known + 1
  end
end
return known
