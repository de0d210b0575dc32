-- Shared by the scripts: the judgement on a job's canary, once all of it is decided. Needs job.

-- Judge the canary if its last contact ID was decided in this step: keep the counts of that moment, and let the job go
-- on, or have it wait for a person. Returns whether it has to wait. The state is what makes this happen once only: it
-- changes in the step that records the last batch, so neither a crash nor a repeated call can judge again.
local function canary_stops(portal, job, job_id)
  local facts = redis.call('HMGET', job, 'canary', 'canary_cursor', 'inflight', 'canary_departed', 'canary_allowed',
    'canary_confirm', 'total', 'surveying')
  local canary, total = tonumber(facts[1]), tonumber(facts[7])
  -- A step of a survey is in flight as well, and has nothing of the canary.
  local batches = tonumber(facts[3]) - (facts[8] and 1 or 0)
  if tonumber(facts[2]) < canary or batches > 0 or redis.call('HLEN', job .. ITEMS) > 0 then
    return false
  end
  local all, counts = redis.call('HGETALL', job), {}
  for index = 1, #all, 2 do
    local outcome = string.match(all[index], '^n:(.*)$')
    if outcome and outcome ~= 'pending' then
      counts[outcome] = tonumber(all[index + 1])
    end
  end
  local has_rest = canary < total
  local waits = has_rest and (facts[6] == '1' or tonumber(facts[4] or 0) > tonumber(facts[5]))
  redis.call('HSET', job, 'canary_state', waits and 'waiting' or 'passed', 'canary_counts', cjson.encode(counts))
  if not has_rest then
    redis.call('HSET', job, 'cursor', total)
  elseif not waits and redis.call('HGET', job, 'state') == 'running' then
    activate(portal, job_id)
  end
  return waits
end
