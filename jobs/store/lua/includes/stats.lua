-- Shared by the scripts: what is counted about a batch, for the job and for the portal. The counters of {portal}:stats
-- are those of jobs/view/stats.py; {portal}:answers has the last answers, newest first.

local function count_batch(portal, job, batch)
  local stats, answer = portal .. STATS, batch.answer
  for _, name in ipairs({ 'sent', 'retried', 'throttled' }) do
    if batch[name] > 0 then
      redis.call('HINCRBY', job, name, batch[name])
      if name ~= 'sent' then
        redis.call('HINCRBY', stats, name, batch[name])
      end
    end
  end
  for outcome, count in pairs(batch.counts) do
    redis.call('HINCRBY', stats, 'contacts:' .. outcome, count)
  end
  if answer then
    local call, result, bucket, took_ms = answer[1], answer[2], answer[3], answer[4]
    redis.call('HINCRBY', stats, 'calls:' .. call .. ':' .. result, 1)
    redis.call('HINCRBY', stats, 'seconds:' .. call .. ':' .. bucket, 1)
    redis.call('HINCRBY', stats, 'ms_sum:' .. call, took_ms)
    redis.call('LPUSH', portal .. ANSWERS, answer[5])
    redis.call('LTRIM', portal .. ANSWERS, 0, LAST_ANSWERS - 1)
  end
end
