/** The command line: `cuestream <command>`. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { CuestreamError } from '../ports/errors.ts'
import { loadConfig } from '../runtime/config.ts'
import { createLogger } from '../runtime/logger.ts'
import { deadLettersCommand } from './commands/dead-letters.ts'
import { evaluateCommand } from './commands/evaluate.ts'
import { gatewayCommand } from './commands/gateway.ts'
import { ingestCommand } from './commands/ingest.ts'
import { localModelCommand } from './commands/local-model.ts'
import { modelsCommand } from './commands/models.ts'
import { rebuildCommand } from './commands/rebuild.ts'
import { recommendCommand } from './commands/recommend.ts'
import { releasesCommand } from './commands/releases.ts'
import { runCommand } from './commands/run.ts'
import { servicesCommand } from './commands/services.ts'
import { statusCommand } from './commands/status.ts'
import { topicsCommand } from './commands/topics.ts'
import { trainCommand } from './commands/train.ts'
import { upCommand } from './commands/up.ts'
import type { OpenContext } from './context.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const program = new Command('cuestream')
  .description('Live, language-guided music recommendation for video.')
  .version(version)
  .option('--data-folder <path>', 'folder that keeps everything (default: data)')
  .option('--host <address>', 'address of the HTTP gateway (default: 127.0.0.1)')
  .option('--port <number>', 'port of the HTTP gateway (default: 8080)', portNumber)
  .option('--profile <id>', 'encoder profile (default: embedded)')
  .option('--log-level <level>', 'least level that is logged (default: warn; of run: info)')
  .option('--config <file>', 'configuration file (default: cuestream.config.json)')
  .showHelpAfterError('(--help shows what is possible)')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()

const openContext: OpenContext = (defaults = {}) => {
  const { config: file, ...flags } = program.opts<Record<string, string>>()
  const env = process.env
  const quiet = env.CUESTREAM_LOG_LEVEL === undefined && flags.logLevel === undefined ? defaults : {}
  const config = loadConfig({ env, flags: { ...quiet, ...flags }, ...(file === undefined ? {} : { file }) })
  return { config, logger: createLogger(config) }
}

for (const command of [
  upCommand,
  ingestCommand,
  recommendCommand,
  statusCommand,
  runCommand,
  gatewayCommand,
  topicsCommand,
  rebuildCommand,
  releasesCommand,
  deadLettersCommand,
  modelsCommand,
  evaluateCommand,
  trainCommand,
  servicesCommand,
  localModelCommand,
]) {
  program.addCommand(withSettings(command(openContext)))
}

/** Of the program, for a command and those below it. */
function withSettings(command: Command): Command {
  command.copyInheritedSettings(program)
  for (const below of command.commands) withSettings(below)
  return command
}

function portNumber(text: string): string {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a port is a number.')
  return text
}

/** 2: the caller or the operator must change something; 1: it went wrong. */
try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2 // commander has said why
  } else if (error instanceof CuestreamError) {
    process.stderr.write(`${error.code}: ${error.message}\n`)
    process.exitCode = 2
  } else throw error
}
