/** An endpoint that answers after so many ms (the first argument), and tells its parent where it is. */
import { startLlmEndpoint } from '../support/llm-endpoint.ts'

const llm = await startLlmEndpoint()
llm.behave = () => ({ afterMs: Number(process.argv[2]) })
process.send!(llm.url)
process.on('disconnect', () => process.exit())
