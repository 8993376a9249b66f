/** Why `Broker.ensureTopics` does not grow a topic that holds records. */
import { SetupError } from '../ports/errors.ts'

export function fewerPartitions(topic: string, found: number, wanted: number): SetupError {
  return new SetupError(
    'fewer-partitions',
    `Topic ${topic} has records in ${found} partitions and is defined with ${wanted}: with more, its keys would move to ` +
      'others. Stop the writers, let the stages read what there is, stop them too, and run ' +
      '`cuestream topics apply --allow more-partitions`',
  )
}
