import type { Logger } from 'pino'
import type { Config } from '../runtime/config.ts'

/** What every command gets: configuration from its flags and the environment, and the log. */
export interface Context {
  readonly config: Config
  readonly logger: Logger
}

/** @param defaults of this command, where neither flag nor environment says. */
export type OpenContext = (defaults?: { logLevel?: Config['logLevel'] }) => Context
