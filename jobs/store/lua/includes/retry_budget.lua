-- Shared by the scripts: the retry budget. The retries of all jobs together have a rate of their own, a small part of
-- the portal's, so that they never become the main load. A few may go together. Times are on the steady clock. Portal hash: retry_tat_us (theoretical
-- arrival time of the next retry).

local RETRY_BURST = 10

-- Returns {interval_us, tat_us, turn_us}: the time that each retry takes up, the arrival time, and when the next retry
-- may go.
local function retry_budget(portal, clock_us, interval_us, tat_us)
  if tat_us > clock_us + RETRY_BURST * interval_us then
    -- Further ahead than the burst: left over from a lower rate.
    tat_us = clock_us + RETRY_BURST * interval_us
    redis.call('HSET', portal, 'retry_tat_us', tat_us)
  end
  return {
    interval_us = interval_us,
    tat_us = tat_us,
    turn_us = math.max(clock_us, tat_us - (RETRY_BURST - 1) * interval_us),
  }
end

local function use_retry(portal, clock_us, budget)
  redis.call('HSET', portal, 'retry_tat_us', math.max(budget.tat_us, clock_us) + budget.interval_us)
end
