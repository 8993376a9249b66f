import { Command } from 'commander'
import { readProfile } from '../../adapters/models/profile.ts'
import { verifyProfile } from '../../adapters/models/profile-files.ts'
import { pullProfile } from '../../adapters/models/pull.ts'
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
      if (checks.some(({ status }) => status !== 'ok')) process.exitCode = 1
    })
  command
    .command('pull')
    .description('download the files of a profile, resuming what was begun')
    .argument('<profile>')
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
      say(
        table(
          results.map((result) => [
            result.status,
            result.name,
            result.sha256 ?? '',
            result.recorded ? 'hash recorded: first seen now' : '',
          ]),
        ),
      )
      for (const { name: file, status, source } of results)
        if (status === 'missing') say(`${file} is missing: ${source}`)
      if (results.some(({ status }) => status === 'missing' || status === 'tampered')) process.exitCode = 1
    })
  return command
}
