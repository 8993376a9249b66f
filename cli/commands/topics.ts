import { Command, Option } from 'commander'
import { CuestreamError } from '../../ports/errors.ts'
import type { TopicAdmin } from '../../ports/topic-admin.ts'
import { outside, processors } from '../../processors/registry.ts'
import { applyTopics, readPlan, withDeadLetters } from '../../topics/apply.ts'
import { type Risk, risks } from '../../topics/plan.ts'
import { topics } from '../../topics/topics.ts'
import type { OpenContext } from '../context.ts'
import { withTopicAdmin } from '../open-topic-admin.ts'
import { planText } from '../plan-text.ts'
import { say, table } from '../terminal.ts'

/** As terraform's: a script tells what differs from what went wrong. */
const DIFFERENCES = 2
const REFUSED_OR_FAILED = 1

const defined = withDeadLetters(topics)

export const topicsCommand = (open: OpenContext) => {
  const command = new Command('topics').description('the topics: what they are, and whether the broker keeps them so')
  command
    .command('list', { isDefault: true })
    .description('every topic: key, partitions, how long it is kept, who writes and reads it')
    .action(() => say(listOfTopics()))
  command
    .command('plan')
    .description('compare the topics of the broker with their definitions; exit code 0: the same, 2: they differ')
    .action(() =>
      onTopics(open, async (admin) => {
        const plan = await readPlan(admin, defined)
        say(planText(plan))
        return plan.changes.length === 0 ? 0 : DIFFERENCES
      }),
    )
  command
    .command('apply')
    .description('change the topics of the broker as far as nothing is lost; exit code 1: something was refused')
    .addOption(
      new Option('--allow <risk...>', 'do what loses something, too').choices(Object.keys(risks)).default([] as Risk[]),
    )
    .action(({ allow }: { allow: Risk[] }) =>
      onTopics(open, async (admin) => {
        const { done, left } = await applyTopics(admin, defined, new Set(allow))
        if (done.length > 0) say(`${planText({ changes: done, foreign: [] })} Done.`)
        if (done.length > 0 && left.length > 0) say()
        if (left.length > 0 || done.length === 0) say(planText({ changes: left, foreign: [] }))
        return left.length === 0 ? 0 : REFUSED_OR_FAILED
      }),
    )
  return command
}

async function onTopics(open: OpenContext, use: (admin: TopicAdmin) => Promise<number>): Promise<void> {
  const { config, logger } = open({ logLevel: 'warn' })
  try {
    process.exitCode = await withTopicAdmin(config, logger, use)
  } catch (error) {
    if (!(error instanceof CuestreamError)) throw error
    process.stderr.write(`${error.code}: ${error.message}\n`)
    process.exitCode = REFUSED_OR_FAILED
  }
}

function listOfTopics(): string {
  return table([
    ['topic', 'key', 'partitions', 'kept', 'written by', 'read by'],
    ...topics.map(({ name, keyName, partitions, retention }) => [
      name,
      keyName,
      String(partitions),
      retention === 'compacted' ? 'compacted' : `${retention.ms / 3_600_000} h`,
      [
        ...processors.filter(({ to }) => to.some((topic) => topic.name === name)).map((p) => p.name),
        ...others(outside.writes, name),
      ].join(', '),
      [
        ...processors.filter(({ from }) => from.some((topic) => topic.name === name)).map((p) => p.name),
        ...others(outside.reads, name),
      ].join(', '),
    ]),
  ])
}

function others(sides: Readonly<Record<string, readonly string[]>>, topic: string): string[] {
  return Object.keys(sides).filter((name) => sides[name]?.includes(topic))
}
