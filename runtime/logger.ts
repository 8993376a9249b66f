/** Structured logs: the message is a sentence, ids are fields. error = someone must act, warn = recovered, info = lifecycle. */
import { type Logger, pino, stdTimeFunctions } from 'pino'
import type { Config } from './config.ts'

export function createLogger(config: Pick<Config, 'logLevel' | 'logFormat'>): Logger {
  const pretty = config.logFormat === 'pretty' || (config.logFormat === 'auto' && process.stderr.isTTY === true)
  const options = { level: config.logLevel, base: null, timestamp: stdTimeFunctions.isoTime }
  if (!pretty) return pino(options, pino.destination(2))
  return pino({
    ...options,
    transport: { target: 'pino-pretty', options: { destination: 2, translateTime: 'HH:MM:ss' } },
  })
}
