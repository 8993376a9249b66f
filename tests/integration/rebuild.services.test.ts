import { onServices } from '../support/on-services.ts'
import { rebuildTests } from './rebuild.ts'

rebuildTests('the real engines', onServices, 6)
