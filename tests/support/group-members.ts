/** Who owns what in a consumer group, as Kafka's coordinator says. */
import { AssignerProtocol } from 'kafkajs'
import { kafkaClient } from '../../adapters/kafka/client.ts'

export interface GroupMembers {
  /** Of each member 'topic/partition', of all that it owns. */
  of(group: string): Promise<readonly (readonly string[])[]>
  close(): Promise<void>
}

export async function openGroupMembers(brokers: readonly string[]): Promise<GroupMembers> {
  const admin = kafkaClient({ brokers, clientId: 'group-members' }).admin()
  await admin.connect()
  return {
    async of(group) {
      const { groups } = await admin.describeGroups([group])
      return (groups[0]?.members ?? []).map(({ memberAssignment }) => {
        const assignment =
          memberAssignment.length > 0 ? AssignerProtocol.MemberAssignment.decode(memberAssignment) : null
        return Object.entries(assignment?.assignment ?? {}).flatMap(([topic, partitions]) =>
          partitions.map((partition) => `${topic}/${partition}`),
        )
      })
    },
    close: () => admin.disconnect(),
  }
}
