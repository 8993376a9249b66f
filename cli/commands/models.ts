import { Command } from 'commander'
import { readProfile } from '../../adapters/models/profile.ts'
import { verifyProfile } from '../../adapters/models/profile-files.ts'
import { type PullResult, pullProfile } from '../../adapters/models/pull.ts'
import type { Config } from '../../runtime/config.ts'
import type { OpenContext } from '../context.ts'
import { dataPaths, repositoryPaths } from '../paths.ts'
import { progressBar, say, table } from '../terminal.ts'

const locationOf = (config: Config) => ({
  repositoryModels: repositoryPaths.models,
  folder: config.modelsFolder ?? dataPaths(config.dataFolder).models,
})

export const modelsCommand = (open: OpenContext) => {
  const command = new Command('models').description('files of the encoder profiles')
  command
    .command('verify')
    .description('check every file of a profile against its hash')
    .argument('[profile]', 'default: the configured one')
    .action(async (name: string | undefined) => {
      const { config } = open()
      const profile = await readProfile(name ?? config.profile, repositoryPaths.models)
      const checks = await verifyProfile(profile, locationOf(config))
      say(table(checks.map((check) => [check.status, check.name, check.sha256 ?? '', check.path])))
      if (checks.every(({ status }) => status === 'ok')) return
      say(`Get what is missing or wrong: npx cuestream models pull ${name ?? config.profile}`)
      process.exitCode = 1
    })
  command
    .command('pull')
    .description('download the files of a profile, resuming what was begun')
    .argument('<profile>', 'embedded, paper, or the path of a manifest')
    .option('--mirror <url>', "ask <url>/<profile>/<file> in place of the files' own addresses")
    .option('--offline', 'only check what is there')
    .action(async (name: string, { mirror, offline }: { mirror?: string; offline?: boolean }) => {
      const { config } = open()
      const profile = await readProfile(name, repositoryPaths.models)
      let shown: { file: string; bar: ReturnType<typeof progressBar> } | undefined
      const results = await pullProfile(profile, {
        ...locationOf(config),
        mirror,
        offline,
        onProgress({ file, receivedBytes, totalBytes }) {
          if (shown?.file !== file) {
            shown?.bar.stop()
            shown = { file, bar: progressBar(file, totalBytes ?? 0) }
          }
          shown.bar.update(receivedBytes, '')
        },
      })
      shown?.bar.stop()
      say(table(results.map((result) => [result.status, result.name, result.sha256 ?? '', noteOf(result)])))
      const bad = results.some(({ status }) => status === 'missing' || status === 'tampered')
      if (bad && offline) say('Nothing was asked for: --offline')
      if (bad) process.exitCode = 1
    })
  return command
}

function noteOf({ status, recorded, source }: PullResult): string {
  if (recorded) return 'hash recorded: first seen now'
  return status === 'missing' ? source : ''
}
