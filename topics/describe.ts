/** The table of docs/topics.md. */
import { DAY_MS } from './topic.ts'
import { topics } from './topics.ts'

export function topicsTable(): string {
  const rows = topics.map(({ name, keyName, partitions, retention, maxRecordBytes, flush, schema }) => {
    const kept = retention === 'compacted' ? 'compacted' : duration(retention.ms)
    const cells = [`\`${name}\``, keyName, partitions, kept, flush, `${maxRecordBytes / 1024 / 1024} MiB`, schema.doc]
    return `| ${cells.join(' | ')} |`
  })
  const head = [
    '| topic | key | partitions | kept | flushed | largest record | value |',
    '|---|---|---|---|---|---|---|',
  ]
  return [...head, ...rows].join('\n')
}

function duration(ms: number): string {
  return ms >= DAY_MS ? `${ms / DAY_MS} d` : `${ms / 3_600_000} h`
}
