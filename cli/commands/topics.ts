import { Command } from 'commander'
import { outside, processors } from '../../processors/registry.ts'
import { topics } from '../../topics/topics.ts'
import type { OpenContext } from '../context.ts'
import { say, table } from '../terminal.ts'

export const topicsCommand = (_open: OpenContext) =>
  new Command('topics')
    .description('every topic: key, partitions, how long it is kept, who writes and reads it')
    .action(() => {
      say(
        table([
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
        ]),
      )
    })

function others(sides: Readonly<Record<string, readonly string[]>>, topic: string): string[] {
  return Object.keys(sides).filter((name) => sides[name]?.includes(topic))
}
