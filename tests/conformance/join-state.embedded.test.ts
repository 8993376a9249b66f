import { openJoinState } from '../../adapters/embedded/join-state.ts'
import type { JoinState } from '../../ports/join-state.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { joinStateConformance } from './join-state.ts'

const folder = temporaryFolder()
let state: JoinState | undefined
const open = async () => {
  state = openJoinState(folder)
  return state
}
const close = async () => state?.close()

joinStateConformance('the embedded store', { open, close, reopen: () => close().then(open) })
