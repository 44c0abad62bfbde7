import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.net.InetSocketAddress;

/** A MongoDB server in memory, with change streams, on 127.0.0.1 and the port that is given as the only argument. */
public final class MongoDbServer {
    private MongoDbServer() {}

    public static void main(String[] args) {
        MongoServer server = new MongoServer(new MemoryBackend());
        server.enableOplog();
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    }
}
