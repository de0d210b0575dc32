-- include: clock
-- Move the steady clock on, and wake it if it is asleep. Whoever relies on it calls this about twice a second.
--   returns  1
awake_us()
return 1
