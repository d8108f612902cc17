-- Adds to the end of a log.
-- KEYS: the log. ARGV: milliseconds that it lives from now on, how many frames it keeps; then the frames.

for place = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 'frame', ARGV[place])
end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
